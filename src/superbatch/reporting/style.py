"""The page's style: light and dark by the reader's setting, always light on paper."""

CSS = """
:root{color-scheme:light dark;--ground:#f4f6f8;--card:#fff;--text:#1b1f24;--muted:#5d6773;--line:#dde2e8;
--accent:#0b62c4;--good:#00796b;--bad:#a3452e}
@media screen and (prefers-color-scheme:dark){:root{--ground:#0e1116;--card:#171b21;--text:#e8ebef;
--muted:#9aa5b1;--line:#343b45;
--accent:#5ea9ff;--good:#3fc7b4;--bad:#f08a70}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
header,main{max-width:1120px;margin:0 auto;padding:0 24px}
header{padding-top:36px}
h1{font-size:30px;line-height:1.2;margin:2px 0 4px;overflow-wrap:anywhere}
h2{font-size:20px;margin:0 0 14px}
h3{font-size:15px;margin:22px 0 0}
.eyebrow{margin:0;color:var(--accent);font-size:12px;font-weight:600;letter-spacing:.08em;text-transform:uppercase}
.lede,.note,.missing{color:var(--muted)}
.lede{margin:0 0 18px}
.note{font-size:13px;margin:4px 0 10px}
.missing{border-left:3px solid var(--line);padding:2px 0 2px 12px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-bottom:20px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.tile b{display:block;font-size:24px;line-height:1.25;font-variant-numeric:tabular-nums}
.tile span{color:var(--muted);font-size:12.5px;line-height:1.35;display:block}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:22px 24px;margin:0 0 20px}
.findings{margin:0 0 16px;padding-left:20px}
.findings li{margin:3px 0}
.plot{display:block;width:100%;height:auto;margin:10px 0}
.wide{overflow-x:auto;margin:12px 0}
table{border-collapse:collapse;font-size:13px;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 9px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th{color:var(--muted);font-weight:600;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}
td{white-space:nowrap}
td.long{white-space:normal;min-width:120px}
.facts th,.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}
.facts th{width:190px;vertical-align:top}
.shelf{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:12px}
.item{margin:0;min-width:0}
.item img,.blank{width:100%;aspect-ratio:1;object-fit:contain;border-radius:6px;
border:1px solid var(--line);display:block}
.blank{display:grid;place-items:center;color:var(--muted);font-size:12px}
figcaption{font-size:12.5px;line-height:1.35;margin-top:5px;overflow-wrap:anywhere}
figcaption small{display:block;color:var(--muted);font-size:11.5px;margin-top:2px}
.kind{font-style:normal;font-weight:600;white-space:nowrap}
.kind.good{color:var(--good)}
.kind.bad{color:var(--bad)}
pre{background:var(--ground);border:1px solid var(--line);border-radius:6px;
padding:12px;overflow-x:auto;font-size:12.5px;line-height:1.45}
code{font-size:12.5px}
summary{cursor:pointer;margin-top:14px;color:var(--accent)}
@media print{body{background:#fff;font-size:11pt}
section{border:0;padding:0;margin:0 0 18pt}
header,main{max-width:none;padding:0}
.tile,.plot,.item,tr{break-inside:avoid}
h2,h3,h3+.note{break-after:avoid}
.shelf{grid-template-columns:repeat(6,1fr);gap:6pt}
figcaption{font-size:7.5pt}
figcaption small{font-size:7pt}
.wide{overflow:visible}
th,td{padding:3pt 4pt}
pre{white-space:pre-wrap}
table{font-size:7.5pt}}
"""
