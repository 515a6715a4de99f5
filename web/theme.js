// Before the first paint, so that a dark page never flashes white.
try {
  const theme = localStorage.getItem('saekit-theme');
  if (theme) document.documentElement.dataset.theme = theme;
  if (new URLSearchParams(location.search).has('embed')) document.documentElement.dataset.embed = '1';
} catch {}
