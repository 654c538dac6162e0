"""The style sheet of a report's page: light and dark, from a phone's width on."""

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1b1f24; --soft: #5b6570;
  --line: #d5dae0; --card: #f4f6f8; --warn: #fff4d6; --warn-line: #d9a400; --bar: #2f6fb5;
  --c0: #2f6fb5; --c1: #d9822b; --c2: #2e8b57; --c3: #b0413e; --c4: #7a5aa6; --c5: #7d868f; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --text: #e6e9ec; --soft: #9aa4ae;
  --line: #353c44; --card: #1d2227; --warn: #352c10; --warn-line: #a67c00; --bar: #5b9bdd;
  --c0: #5b9bdd; --c1: #f0a35e; --c2: #5bbf8a; --c3: #e07a76; --c4: #a98fd6; --c5: #98a1aa; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.45 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 16px; }
h1, h2, h3, li, figcaption, p { overflow-wrap: anywhere; }
code { white-space: nowrap; }
h1 { font-size: 1.6rem; margin: 8px 0 16px; }
h2 { font-size: 1.3rem; margin: 24px 0 4px; padding-top: 12px; border-top: 2px solid var(--line); }
h3 { font-size: 1.05rem; margin: 24px 0 8px; }
p { margin: 6px 0; } .good, footer, figcaption { color: var(--soft); }
footer { margin-top: 32px; font-size: 0.85rem; }
figcaption b { color: var(--text); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(100px, 1fr)); gap: 8px; }
.tile { background: var(--card); border-radius: 8px; padding: 10px 12px; }
.tile b { display: block; font-size: 1.3rem; white-space: nowrap; }
.tile span { color: var(--soft); }
.warnings { background: var(--warn); border-left: 4px solid var(--warn-line); margin: 16px 0;
  padding: 8px 14px; border-radius: 4px; }
.warnings h3 { margin: 4px 0; } .warnings ul { margin: 4px 0; padding-left: 20px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; min-width: min(100%, 420px); }
th, td { text-align: left; vertical-align: top; padding: 4px 12px 4px 0; max-width: 320px;
  overflow-wrap: break-word; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.number:not(:first-child) { text-align: right; }
figure { margin: 14px 0; } .pair { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.pair figure { margin: 0; } .picture { width: 100%; height: auto; display: block;
  border-radius: 6px; }
.plot { position: relative; border-bottom: 1px solid var(--line); padding-left: 36px; }
.plot svg { width: 100%; height: 130px; display: block; border-top: 1px dashed var(--line); }
.top { position: absolute; left: 0; top: 1px; line-height: 1;
  color: var(--soft); font-size: 0.85rem; }
.axis { display: flex; justify-content: space-between; gap: 8px; padding-left: 36px;
  color: var(--soft); font-size: 0.8rem; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 16px; }
.key i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px;
  margin-right: 6px; }
.c0 { fill: var(--c0); background: var(--c0); } .c1 { fill: var(--c1); background: var(--c1); }
.c2 { fill: var(--c2); background: var(--c2); } .c3 { fill: var(--c3); background: var(--c3); }
.c4 { fill: var(--c4); background: var(--c4); } .c5 { fill: var(--c5); background: var(--c5); }
.rows { max-width: 640px; } .row { display: grid; grid-template-columns: 110px 1fr 48px; gap: 8px;
  align-items: center; font-size: 0.9rem; padding: 2px 0; }
.row .label { color: var(--soft); } .track { height: 14px; }
.bar { display: block; height: 100%; background: var(--bar); border-radius: 2px; }
details { margin: 4px 0 12px; } summary { cursor: pointer; color: var(--soft); }
.path { fill: none; stroke: #ffd34d; stroke-opacity: 0.85; stroke-width: calc(2.4 * var(--u));
  stroke-linejoin: round; }
.picture circle { fill: #ffd34d; stroke: #222; stroke-width: calc(0.6 * var(--u)); }
.zone { fill: #38bdf8; fill-opacity: 0.14; } .line { fill: none; }
.zone, .line { stroke: #38bdf8; stroke-width: calc(3 * var(--u)); }
.picture text { font: 600 calc(22 * var(--u)) system-ui, sans-serif; fill: #fff; stroke: #111;
  stroke-width: calc(4 * var(--u)); paint-order: stroke; }
a { color: var(--bar); }
@media (max-width: 600px) {
  table { min-width: 0; font-size: 0.9rem; } th, td { padding-right: 10px; }
  .picture text { font-size: calc(36 * var(--u)); stroke-width: calc(6 * var(--u)); }
  .path { stroke-width: calc(4 * var(--u)); } .zone, .line { stroke-width: calc(5 * var(--u)); } }
"""
