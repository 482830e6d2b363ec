(() => {
  const luminance = text => {
    const [r, g, b] = text.match(/[\d.]+/g).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!/, 0\)$/.test(colour)) return colour;
    }
    return 'rgb(255,255,255)';
  };
  let weakest = 21;
  for (const e of document.querySelectorAll('h1,h2,h3,p,li,td,th,dt,dd,a,summary,figcaption,caption,code,span,strong,svg text')) {
    if (!e.textContent.trim() || e.classList.contains('skip')) continue;
    const svg = e.closest('svg');
    const own = getComputedStyle(e)[svg ? 'fill' : 'color'];
    const [a, b] = [luminance(own), luminance(ground(svg ? svg.parentElement : e))].sort((x, y) => y - x);
    weakest = Math.min(weakest, (a + 0.05) / (b + 0.05));
  }
  return Math.round(weakest * 100) / 100;
})()
