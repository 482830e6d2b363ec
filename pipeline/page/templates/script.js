// Sorting, filtering and opening for print. Everything reads without it.
(function () {
  'use strict';
  function value(row, n) {
    var cell = row.cells[n];
    if (!cell) return '';
    var text = cell.textContent.trim();
    var known = cell.getAttribute('data-v');
    if (known !== null) return parseFloat(known);
    var number = text.replace(/[\s\u202f]/g, '').replace('\u2212', '-');
    return /^-?\d+(\.\d+)?$/.test(number) ? parseFloat(number) : text;
  }
  function sort(table, n, header) {
    var up = header.getAttribute('aria-sort') === 'descending';
    var rows = Array.prototype.slice.call(table.tBodies[0].rows);
    rows.sort(function (a, b) {
      var x = value(a, n), y = value(b, n);
      if (x === '–' || y === '–') return x === y ? 0 : x === '–' ? 1 : -1;
      var d = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y));
      return up ? d : -d;
    });
    rows.forEach(function (row) { table.tBodies[0].appendChild(row); });
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (cell) { cell.removeAttribute('aria-sort'); });
    header.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  }
  document.querySelectorAll('table.sortable').forEach(function (table) {
    if (table.tBodies[0].rows.length < 3) return;
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (header, n) {
      var button = document.createElement('button');
      button.type = 'button';
      button.textContent = header.textContent;
      header.textContent = '';
      header.appendChild(button);
      button.addEventListener('click', function () { sort(table, n, header); });
    });
  });
  var nav = document.querySelector('nav');
  var parts = document.querySelectorAll('article');
  if (nav) {
    var tools = document.createElement('div');
    tools.className = 'tools';
    if (parts.length > 3) {
      var input = document.createElement('input');
      input.type = 'search';
      input.placeholder = 'Filter the items by name';
      input.setAttribute('aria-label', input.placeholder);
      input.addEventListener('input', function () {
        var wanted = input.value.toLowerCase();
        parts.forEach(function (part) {
          part.hidden = part.querySelector('h3').textContent.toLowerCase().indexOf(wanted) < 0;
        });
      });
      tools.appendChild(input);
    }
    var open = document.createElement('button');
    open.type = 'button';
    open.textContent = 'Show all numbers';
    open.addEventListener('click', function () {
      var show = open.textContent === 'Show all numbers';
      document.querySelectorAll('details').forEach(function (d) { d.open = show; });
      open.textContent = show ? 'Hide all numbers' : 'Show all numbers';
    });
    tools.appendChild(open);
    nav.after(tools);
  }
})();
