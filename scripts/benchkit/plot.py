"""Plot: bars as SVG, one panel for each measure, legible on light and dark pages."""

from xml.sax.saxutils import escape

PANEL, BAR, LABEL, WIDTH = 36, 26, 210, 760
COLOURS = ("#2f6fde", "#12a594", "#e5734a", "#8e6ad8")


def bars(title, note, panels):
    """`panels` are (heading, [(label, value, text)]); each has a scale of its own that begins at zero."""
    out, y = [], 30
    for heading, rows in panels:
        out.append(f'<text class="h" x="0" y="{y + 18}">{escape(heading)}</text>')
        y += PANEL - 8
        most = max((value for _, value, _ in rows), default=0) or 1
        for n, (label, value, text) in enumerate(rows):
            length = max(1.0, value / most * (WIDTH - LABEL - 110))
            middle = y + BAR / 2 + 4
            out.append(f'<text x="{LABEL - 10}" y="{middle:.0f}" text-anchor="end">{escape(label)}</text>')
            out.append(f'<rect x="{LABEL}" y="{y + 4}" width="{length:.1f}" height="{BAR - 8}" rx="2" '
                       f'fill="{COLOURS[n % len(COLOURS)]}"/>')
            out.append(f'<text x="{LABEL + length + 8:.1f}" y="{middle:.0f}">{escape(text)}</text>')
            y += BAR
        y += 12
    style = ("text{font:13px system-ui,sans-serif;fill:#1b1f24}.h{font-weight:600}.n{font-size:11px;fill:#5b6470}"
             "@media(prefers-color-scheme:dark){text{fill:#e6e9ee}.n{fill:#9aa4b2}}")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 24}" role="img">'
            f"<title>{escape(title)}</title><style>{style}</style>"
            f'<text class="h" x="0" y="16" font-size="15">{escape(title)}</text>\n' + "\n".join(out)
            + f'\n<text class="n" x="0" y="{y + 12}">{escape(note)}</text></svg>\n')
