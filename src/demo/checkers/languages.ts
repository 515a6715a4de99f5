/**
 * Language identification without a model: the share of letters in a Unicode script; inside Latin, the share of words that are
 * frequent words of a language plus letters that only it uses; inside Cyrillic, Arabic and Han, letters that tell neighbours apart.
 */
import type { Checker } from './formats.ts';

const leastLetters = 20;

const scriptPatterns: Readonly<Record<string, RegExp>> = {
  Latin: /\p{Script=Latin}/gu,
  Cyrillic: /\p{Script=Cyrillic}/gu,
  Greek: /\p{Script=Greek}/gu,
  Arabic: /\p{Script=Arabic}/gu,
  Hebrew: /\p{Script=Hebrew}/gu,
  Devanagari: /\p{Script=Devanagari}/gu,
  Georgian: /\p{Script=Georgian}/gu,
  Armenian: /\p{Script=Armenian}/gu,
  Thai: /\p{Script=Thai}/gu,
  Hangul: /\p{Script=Hangul}/gu,
  Han: /\p{Script=Han}/gu,
  Kana: /[\p{Script=Hiragana}\p{Script=Katakana}]/gu,
};

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

/** The share of a text's letters that are of a script; 0 if there are fewer than twenty letters. */
export function scriptShare(text: string, script: string): number {
  const pattern = scriptPatterns[script];
  if (pattern === undefined)
    throw new Error(`no script '${script}'; there are: ${Object.keys(scriptPatterns).join(', ')}`);
  const letters = count(text, /[\p{L}\p{M}]/gu);
  // Marks (Thai and Devanagari vowels) belong to their script too.
  return letters < leastLetters ? 0 : count(text, pattern) / letters;
}

interface LatinLanguage {
  words: ReadonlySet<string>;
  /** Letters or groups that speak for the language, each worth a fraction of a frequent word. */
  letters: RegExp;
}

const latin = (words: string, letters: RegExp): LatinLanguage => ({
  words: new Set(words.split(' ')),
  letters,
});

const latinLanguages: Readonly<Record<string, LatinLanguage>> = {
  english: latin(
    'the of and to in is that it for was with as his be he this by are or not which but have from at an they had on all you we their has will its were been would there so if no one who when than them out up into more her him she do what only then other some these any may must should now your',
    /th|wh|ough|ing\b|tion\b/g,
  ),
  french: latin(
    'le la les de des du un une et est en que qui dans pour pas au aux sur par ce cette ces il elle ils nous vous ne se son sa ses leur leurs ou où avec sont être été avoir tout toute tous plus mais votre vos a à y droit page',
    /[çêèâîôûœ]|eau|oux?\b|\b[ldnscqj]['’]/g,
  ),
  german: latin(
    'der die das und ist in den von zu mit sich des auf für nicht ein eine einer eines dem im auch als an es werden aus er hat dass sie nach wird bei oder war kann diese dieser dieses haben jeder sind wurde ihr ihre keine zum zur über seite recht',
    /[äß]|ü(?!l)|sch|ung\b|lich/g,
  ),
  spanish: latin(
    'el la los las de del un una y es en que por para con no se su sus al lo como más o pero este esta estos estas ser ha han todo toda todos sin sobre entre también derecho persona tiene usted si página',
    /[ñ¿¡]|ción\b|dad\b|\bll|ó\b/g,
  ),
  italian: latin(
    'il lo la i gli le di del della dei delle dello degli un uno una e è in che per con non si su sono come da dal dalla al alla ai alle più o ma questo questa questi ogni essere stato ha hanno nel nella ed individuo diritto pagina',
    /zione\b|gli|ità\b|cch|zz|\b(?:dell|all|nell|un|l)['’]/g,
  ),
  portuguese: latin(
    'o a os as de do da dos das um uma e é em que por para com não se seu sua seus suas ao à no na nos nas como mais ou mas este esta ser tem todo toda todos são foi pelo pela direito pessoa você página',
    /[ãõ]|ção\b|ções\b|nh|lh|dade\b/g,
  ),
  dutch: latin(
    'de het een en van is in dat op te zijn met voor niet aan er om ook als dan maar bij of uit door over naar heeft deze dit worden wordt werd hij zij hun uw kan geen ieder recht tot pagina je u',
    /ij|aa|oo|ee|uu|heid\b|sch/g,
  ),
  polish: latin(
    'i w na z do nie się jest że o to jak po za od przez oraz lub dla jego jej ich są być ma każdy prawo przy bez tego tym który która które może strona strony',
    /[łąęśźżćń]|sz|cz|rz/g,
  ),
  swedish: latin(
    'och i att det som en på är av för med till den har de inte om ett men var sig så eller från vid kan alla ska skall sin sina sitt denna detta dessa varje rätt sida ej du din',
    /[åö]|ä(?!ä)|\bsk|ning\b|het\b/g,
  ),
  finnish: latin(
    'ja on ei se että hän oli joka mutta ovat myös kuin tai sen ole voi olla jokaisella oikeus sekä hänen niiden tämä jos kun mitä sivu',
    /ää|yy|uu|ii|ssa\b|ssä\b|lla\b|llä\b|sta\b|kk|tt|en\b/g,
  ),
  hungarian: latin(
    'a az és nem hogy is egy ez van meg el de csak vagy minden mint joga személynek lehet kell ki be azt ezt nincs való más által oldal valamint',
    /[őű]|sz|gy|ny|cs|[áé]s\b|ek\b|ok\b|ó\b/g,
  ),
  turkish: latin(
    've bir bu için ile da de olarak olan her ne veya gibi çok daha kadar değil var yok hakkı herkes herkesin tarafından sonra ancak en mı mi sayfa',
    /[ığş]|lar\b|ler\b|dır\b|dir\b|[ıiuü]n\b/g,
  ),
  vietnamese: latin(
    'và của các có là được cho trong không người một những với này để về khi đã quyền hay từ bị do tại ra mọi đều nào sự phải như theo bạn trang',
    /[ạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹđơư]/g,
  ),
  welsh: latin(
    'y yr yn a i o ar am ac neu mae bod gan ei eu hawl pawb bawb gyda nid fel dim hyn wedi un na heb wrth cael er hwn hon oes rhaid tudalen',
    /[ŵŷ]|dd|wy|ll|\brh|ff|aeth\b|iad\b/g,
  ),
};

/** How much a Latin text speaks for a language: frequent words and telling letters per word. */
function latinScore(language: LatinLanguage, text: string): number {
  const lower = text.toLowerCase();
  const words = lower.match(/[\p{L}\p{M}]+/gu) ?? [];
  const hits = words.filter((word) => language.words.has(word)).length;
  return (hits + 0.4 * count(lower, language.letters)) / Math.max(8, words.length);
}

function isLatinLanguage(name: string, given: string): boolean {
  const text = given.normalize('NFC');
  // Marks of code, by the hundred characters; prose has next to none.
  if (scriptShare(text, 'Latin') < 0.85 || count(text, /[{}<>=_\\]|\/\/|;$|^\s*[*#]/gm) * 100 > text.length)
    return false;
  const words = count(text, /[\p{L}\p{M}]{2,}/gu);
  const letters = count(text, /[\p{L}\p{M}]/gu);
  if (words < 5 || letters > 12 * words || letters < 0.6 * text.replace(/\s/g, '').length) return false;
  const scores = Object.entries(latinLanguages).map(([key, language]) => ({
    key,
    score: latinScore(language, text),
  }));
  scores.sort((a, b) => b.score - a.score);
  return scores[0]?.key === name && (scores[0]?.score ?? 0) >= 0.16;
}

const ofScript =
  (script: string, accept: (text: string) => boolean = () => true): Checker =>
  (text) =>
    scriptShare(text, script) >= 0.75 && accept(text);

/** By the name of the language in lower case. */
export const languageCheckers: Readonly<Record<string, Checker>> = {
  ...Object.fromEntries(
    Object.keys(latinLanguages).map((name) => [name, (text: string) => isLatinLanguage(name, text)]),
  ),
  russian: ofScript('Cyrillic', (text) => count(text, /[ыэъё]/giu) > count(text, /[іїєґ]/giu)),
  ukrainian: ofScript('Cyrillic', (text) => count(text, /[іїєґ]/giu) > count(text, /[ыэъё]/giu)),
  greek: ofScript('Greek'),
  arabic: ofScript('Arabic', (text) => count(text, /[ةىأإيك]/gu) > count(text, /[پچژگیک]/gu)),
  persian: ofScript('Arabic', (text) => count(text, /[پچژگیک]/gu) > count(text, /[ةىأإيك]/gu)),
  hebrew: ofScript('Hebrew'),
  hindi: ofScript('Devanagari'),
  georgian: ofScript('Georgian'),
  armenian: ofScript('Armenian'),
  thai: ofScript('Thai'),
  korean: ofScript('Hangul'),
  chinese: ofScript('Han', (text) => scriptShare(text, 'Kana') < 0.05),
  japanese: (text) =>
    scriptShare(text, 'Kana') >= 0.2 && scriptShare(text, 'Kana') + scriptShare(text, 'Han') >= 0.75,
};
