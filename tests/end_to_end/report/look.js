(async () => {
  const bytes = Uint8Array.from(atob('PICTURE'), c => c.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, image.width, image.height).data;
  const light = i => (0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]) / 255;
  const ground = light(0);
  const colours = new Set();
  const grid = new Array(12 * 24).fill(0), cells = new Array(12 * 24).fill(0);
  let sum = 0, ink = 0, n = 0;
  for (let y = 0; y < image.height; y += 2) {
    for (let x = 0; x < image.width; x += 2) {
      const i = (y * image.width + x) * 4, l = light(i);
      const cell = Math.floor(y * 24 / image.height) * 12 + Math.floor(x * 12 / image.width);
      const marked = Math.abs(l - ground) > 0.08;
      sum += l; n++; cells[cell]++;
      if (marked) { ink++; grid[cell]++; colours.add((data[i] >> 4) << 8 | (data[i + 1] >> 4) << 4 | data[i + 2] >> 4); }
    }
  }
  return { lightness: sum / n, ink: ink / n, colours: colours.size, grid: grid.map((g, c) => g / Math.max(1, cells[c])) };
})()
