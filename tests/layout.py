"""What a reader would stumble over in a page, as the browser lays it out: text too small, on other text, or out of its box."""

from __future__ import annotations

from tests.browser import Page

SMALLEST = 10  # pixels

# Boxes of all text that shows: HTML by line, SVG by text element. `size` is in pixels as shown; `scrolls` where a part scrolls inside itself.
BOXES = """
(() => {
  const found = [];
  const add = (node, element, rectangle, size, svg) => {
    if (rectangle.width < 1 || rectangle.height < 1) return;
    found.push({text: node.textContent.trim().slice(0, 40), element, svg, size, left: rectangle.left, right: rectangle.right,
                top: rectangle.top, bottom: rectangle.bottom, scrolls: !!element.closest('.wide, pre'), node});
  };
  const shown = element => element.checkVisibility({opacityProperty: true, visibilityProperty: true});
  for (const text of document.querySelectorAll('svg text')) {
    if (!text.textContent.trim() || !shown(text)) continue;
    const matrix = text.getScreenCTM();
    const scale = Math.hypot(matrix.a, matrix.b);
    add(text, text, text.getBoundingClientRect(), parseFloat(getComputedStyle(text).fontSize) * scale, text.ownerSVGElement);
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.textContent.trim() || element.closest('svg, style, script') || !shown(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const line of range.getClientRects()) add(node, element, line, parseFloat(getComputedStyle(element).fontSize), null);
  }
  return found;
})()
"""

SMALL = f"{BOXES}.filter(box => box.size < {SMALLEST}).map(box => `${{box.text}}: ${{box.size.toFixed(1)}} px`)"

# Lines of one text may touch, so a fifth of the lower box's height does not count.
OVERLAPS = (
    """(boxes => {
  const found = [];
  boxes.sort((a, b) => a.top - b.top);
  for (let i = 0; i < boxes.length; i++)
    for (let j = i + 1; j < boxes.length && boxes[j].top < boxes[i].bottom; j++) {
      const [a, b] = [boxes[i], boxes[j]];
      if (a.node === b.node || a.scrolls !== b.scrolls) continue;
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      const slack = 0.2 * Math.min(a.bottom - a.top, b.bottom - b.top);
      if (across > 1 && down > slack) found.push(`${a.text} / ${b.text}`);
    }
  return found;
})("""
    + BOXES
    + ")"
)

# A text's box: its drawing, or the nearest part of the page that has an edge.
OUTSIDE = (
    BOXES
    + """.filter(box => {
  if (box.scrolls) return false;
  const around = (box.svg || box.element.closest('.tile, .card, .item, li, td, th, code, figure, section') || document.body);
  const edge = around.getBoundingClientRect();
  const past = Math.max(box.right - edge.right, edge.left - box.left, box.svg ? edge.top - box.top : 0, box.svg ? box.bottom - edge.bottom : 0);
  return past > 1 || box.right > innerWidth + 1;
}).map(box => box.text)"""
)

OPEN_ALL = "document.querySelectorAll('details').forEach(part => part.open = true)"


def faults(page: Page) -> dict[str, list[str]]:
    """What is wrong with the text of the page as it is shown now, by kind; empty where nothing is."""
    found = {"small": page.value(SMALL), "overlaps": page.value(OVERLAPS), "outside": page.value(OUTSIDE)}
    return {name: texts for name, texts in found.items() if texts}
