/** Style sheet of report.html. Colours: Okabe and Ito's, which colour-blind people can tell apart. */
export const styleSheet = `
:root{--back:#fbfbfa;--card:#fff;--text:#1d2125;--soft:#6a727b;--line:#e4e6e8;--latent:#d55e00;--matched:#6e7781;--flip:#0072b2;--noise:#9a7400;--means:#009e73;--prompt:#b4478f;--none:#1d2125}
@media(prefers-color-scheme:dark){:root{--back:#14171a;--card:#1c2024;--text:#e7e9ea;--soft:#98a1a9;--line:#2d3338;--latent:#ff8c42;--matched:#9aa4ad;--flip:#5cb3f0;--noise:#e0b83c;--means:#3fd0a4;--prompt:#e08cc4;--none:#e7e9ea}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
header,main{max-width:1180px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:26px;line-height:1.2;margin:0}
header p,.by{color:var(--soft);margin:4px 0 0;overflow-wrap:anywhere}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px;margin:20px 0}
h2{font-size:21px;margin:0}h2 span{font-weight:400;color:var(--soft);overflow-wrap:anywhere}
h3{font-size:16px;margin:22px 0 8px}h4{font-size:13px;margin:0 0 6px;color:var(--soft);font-weight:600}
code,pre{font:12.5px/1.45 ui-monospace,monospace}
dl{display:flex;flex-wrap:wrap;gap:8px 28px;margin:12px 0}
dt{font-size:12px;color:var(--soft)}dd{margin:0;font-weight:600}
ul{padding:0;margin:12px 0;list-style:none}
.tests{display:flex;flex-wrap:wrap;gap:8px}
.tests li{border:1px solid var(--line);border-radius:8px;padding:6px 10px;font-size:14px}
.tests li.found{border-color:var(--latent)}
.tests span{color:var(--soft);white-space:nowrap}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px}
.legend i{display:inline-block;width:18px;height:0;border-top:3px solid var(--c);vertical-align:middle;margin-right:6px}
.legend .none i,.legend .prompt i{border-top:2px dashed var(--c)}
.latent{--c:var(--latent)}.matched{--c:var(--matched)}.flip{--c:var(--flip)}.noise{--c:var(--noise)}.means{--c:var(--means)}.prompt{--c:var(--prompt)}.none{--c:var(--none)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:16px 20px}
figure{margin:0;min-width:0}figcaption{font-size:14px;min-height:3em}figcaption span{color:var(--soft);font-size:13px}
svg{width:100%;height:auto;display:block}
.grid{stroke:var(--line)}.tick{fill:var(--soft);font:11px system-ui,sans-serif}
.line{fill:none;stroke:var(--c);stroke-width:1.6}.line.latent{stroke-width:2.6}
.dot{fill:var(--c);stroke:var(--card)}.band{fill:var(--c);opacity:.1}.band.latent{opacity:.18}
.level{stroke:var(--c);stroke-width:1.5;stroke-dasharray:5 4;opacity:.75}
details{margin:14px 0 0}summary{cursor:pointer;color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;margin-top:8px;width:100%}
th,td{text-align:right;padding:4px 10px;border-bottom:1px solid var(--line);white-space:nowrap;font-variant-numeric:tabular-nums}
thead th{color:var(--soft);font-weight:500}
tbody th{text-align:left;font-weight:500;border-left:3px solid var(--c)}
small{color:var(--soft);font-size:11px}td small{display:block}
.samples{display:grid;align-items:start;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:14px}
.texts{border-left:3px solid var(--c);padding-left:10px;min-width:0}
pre{margin:0 0 6px;padding:7px 9px;background:var(--back);border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere;max-height:9.5em;overflow:auto}
.targets{font-size:13px;color:var(--soft);margin:16px 0 0}.targets code{background:var(--back);color:var(--text);padding:1px 5px;border-radius:4px;white-space:pre}
.notes li{margin:6px 0;padding-left:14px;text-indent:-14px}.notes li:before{content:"· "}
@media(max-width:520px){header,main{padding:0 12px}section{padding:14px}h1{font-size:22px}.charts,.samples{grid-template-columns:1fr}figcaption{min-height:0}}
`;
