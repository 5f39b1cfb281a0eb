"""The page's style: light and dark by the reader's setting, always light on paper."""

CSS = """
:root{color-scheme:light dark;--ground:#f4f6f8;--card:#fff;--text:#1b1f24;--muted:#56606b;--line:#dde2e8;
--accent:#0b62c4;--good:#00695c;--bad:#9a3b26;--warn:#fff6e0;--edge:#c26a00}
@media screen and (prefers-color-scheme:dark){:root{--ground:#0e1116;--card:#171b21;--text:#e8ebef;
--muted:#a3adb8;--line:#343b45;--accent:#6cb1ff;--good:#3fc7b4;--bad:#f3957d;--warn:#2a2213;--edge:#f5a742}}
@media print{:root{color-scheme:light}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
header,main{max-width:1120px;margin:0 auto;padding:0 24px}
header{padding-top:28px}
h1{font-size:30px;line-height:1.2;margin:2px 0 4px;overflow-wrap:anywhere}
h2{font-size:20px;margin:0 0 12px}
h3{font-size:15.5px;margin:22px 0 0}
a,summary{color:var(--accent)}
a:focus-visible,summary:focus-visible,.wide:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.eyebrow{margin:0;color:var(--accent);font-size:12px;font-weight:600;letter-spacing:.08em;text-transform:uppercase}
.lede,.lead,.note,.missing,.plot figcaption,caption{color:var(--muted)}
.lede{margin:0 0 10px}
.lead{margin:-6px 0 10px}
.verdict{font-size:19px;line-height:1.4;font-weight:600;margin:0 0 14px}
.note,.plot figcaption,caption{font-size:13px;line-height:1.45}
.note{margin:4px 0 10px;max-width:120ch}
.missing{border-left:3px solid var(--line);padding:2px 0 2px 12px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:12px;margin-bottom:14px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:11px 14px}
.tile b{display:block;font-size:24px;line-height:1.25;font-variant-numeric:tabular-nums}
.tile span{color:var(--muted);font-size:12.5px;line-height:1.35;display:block}
.cautions{background:var(--warn);border:1px solid var(--line);border-left:4px solid var(--edge);border-radius:6px;
padding:11px 16px;margin:0 0 14px}
.cautions .findings{margin:4px 0 0}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13.5px;margin:0 0 16px}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:22px 24px;margin:0 0 20px}
.findings{margin:0 0 16px;padding-left:20px}
.findings li{margin:3px 0}
.plot{margin:14px 0 18px}
.plot img{display:block;width:100%;height:auto}
.plot .dark{display:none}
@media screen and (prefers-color-scheme:dark){.plot .light{display:none}.plot .dark{display:block}}
.plot figcaption{margin-top:4px;max-width:120ch}
.wide{overflow-x:auto;margin:12px 0}
table{border-collapse:collapse;font-size:13px;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:0 0 4px}
th,td{padding:6px 9px;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
thead th{color:var(--muted);font-weight:600;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}
tbody th{font-weight:400;white-space:nowrap}
.strong th,.strong td{font-weight:650}
td{white-space:nowrap}
td.long{white-space:normal;min-width:100px}
.facts th,.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}
.facts th{width:250px;vertical-align:top;color:var(--muted);font-weight:600;overflow-wrap:normal}
.shelf{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:12px}
.item{margin:0;min-width:0;break-inside:avoid}
.item img,.blank{width:100%;aspect-ratio:1;object-fit:contain;border-radius:6px;
border:1px solid var(--line);display:block}
.blank{display:grid;place-items:center;color:var(--muted);font-size:12px}
.item figcaption{font-size:12.5px;line-height:1.35;margin-top:5px;overflow-wrap:anywhere}
.item small{display:block;color:var(--muted);font-size:11.5px;margin-top:2px}
.kind{display:block;font-style:normal;font-weight:600;font-size:11.5px}
.kind.good{color:var(--good)}
.kind.bad{color:var(--bad)}
pre{background:var(--ground);border:1px solid var(--line);border-radius:6px;
padding:12px;overflow-x:auto;font-size:12.5px;line-height:1.45}
code{font-size:12.5px}
summary{cursor:pointer;margin:12px 0}
@media screen and (max-width:900px){header,main{padding:0 14px}section{padding:18px 16px}table{font-size:12px}th,td{padding:5px 5px}}
@page{size:A4;margin:14mm 12mm}
@media print{body{background:#fff;font-size:10pt}
header{padding-top:0}
header,main{max-width:none;padding:0}
nav,details{display:none}
section{border:0;padding:0;margin:0 0 16pt}
.tiles{grid-template-columns:repeat(auto-fit,minmax(88pt,1fr));gap:6pt}
.tile{padding:6pt 8pt}
.tile b{font-size:15pt}
.tile span{font-size:8pt}
.plot.accuracy img{width:auto;max-width:100%;max-height:60mm}
.tile,.plot,.item,.cautions,tr{break-inside:avoid}
.cautions,.kind,.tile{print-color-adjust:exact;-webkit-print-color-adjust:exact}
h2,h3,h3+.note,.lead,caption{break-after:avoid}
h1{font-size:20pt}
.verdict{font-size:13pt}
.shelf{grid-template-columns:repeat(6,1fr);gap:6pt}
.item figcaption{font-size:7.5pt}
.item small,.kind{font-size:7pt}
.note,.plot figcaption,caption{font-size:8pt}
.wide{overflow:visible;break-inside:avoid}
th,td{padding:3pt 4pt}
pre{white-space:pre-wrap}
table{font-size:8pt}}
"""
