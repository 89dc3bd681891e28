//! Plot: lines and bars as SVG, for a page that loads nothing.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
/// Room for the axes' labels: left, right, top, bottom.
const MARGINS: [f64; 4] = [64.0, 16.0, 12.0, 40.0];
/// Lines of the grid.
const STEPS: u32 = 5;

/// One line.
pub struct Line<'a> {
    /// In the legend.
    pub name: &'a str,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// Lines over one axis. `ticks` are places on it with their labels; without any it is counted through.
pub fn lines(x_label: &str, y_label: &str, lines: &[Line<'_>], ticks: &[(f64, String)]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let right = points().map(|(x, _)| *x).chain(ticks.iter().map(|(x, _)| *x)).fold(0.0, f64::max).max(1e-9);
    let top = round_up(points().map(|(_, y)| *y).fold(0.0, f64::max));
    let [left, margin_right, margin_top, bottom] = MARGINS;
    let x_at = |x: f64| left + x / right * (WIDTH - left - margin_right);
    let y_at = |y: f64| HEIGHT - bottom - y / top * (HEIGHT - margin_top - bottom);
    let mut svg = open();
    for step in 0..=STEPS {
        let share = f64::from(step) / f64::from(STEPS);
        let y = y_at(top * share);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{left}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            WIDTH - margin_right,
            left - 6.0,
            y + 4.0,
            number(top * share)
        );
        if ticks.is_empty() {
            let _ = write!(
                svg,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                x_at(right * share),
                HEIGHT - bottom + 16.0,
                number(right * share)
            );
        }
    }
    for (x, label) in ticks {
        let _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            x_at(*x),
            HEIGHT - bottom + 16.0,
            escape(label)
        );
    }
    for (n, line) in lines.iter().enumerate() {
        let path: String = line.points.iter().map(|(x, y)| format!("{:.1},{:.1} ", x_at(*x), y_at(*y))).collect();
        let (legend, row) = (left + 12.0, margin_top + 14.0 + 16.0 * f64::from(u32::try_from(n).unwrap_or(0)));
        let _ = write!(
            svg,
            r#"<polyline class="line s{n}" points="{}"/><rect class="s{n}" x="{legend}" y="{:.1}" width="12" height="4"/><text x="{}" y="{row:.1}">{}</text>"#,
            path.trim_end(),
            row - 6.0,
            legend + 18.0,
            escape(line.name)
        );
    }
    let _ = write!(
        svg,
        r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">{}</text><text transform="translate(14 {:.1}) rotate(-90)" text-anchor="middle">{}</text></svg>"#,
        f64::midpoint(left, WIDTH),
        HEIGHT - 6.0,
        escape(x_label),
        HEIGHT / 2.0,
        escape(y_label)
    );
    svg
}

/// A bar for each name.
pub fn bars(counts: &[(String, u64)]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts to look at")]
    let value = |count: u64| count as f64;
    let most = counts.iter().map(|(_, count)| value(*count)).fold(1.0, f64::max);
    let (row, left) = (24.0, 220.0);
    let height = row * f64::from(u32::try_from(counts.len()).unwrap_or(u32::MAX)) + 8.0;
    let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {height}" role="img">"#);
    for (n, (name, count)) in counts.iter().enumerate() {
        let y = row * f64::from(u32::try_from(n).unwrap_or(0)) + 4.0;
        let width = value(*count) / most * (WIDTH - left - 90.0);
        let _ = write!(
            svg,
            r#"<text x="{}" y="{:.1}" text-anchor="end">{}</text><rect class="s1" x="{left}" y="{y:.1}" width="{width:.1}" height="16"/><text x="{:.1}" y="{:.1}">{count}</text>"#,
            left - 8.0,
            y + 12.0,
            escape(name),
            left + width + 6.0,
            y + 12.0
        );
    }
    svg + "</svg>"
}

fn open() -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">"#)
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(value)
}

fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text as XML takes it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, rounded) in [(0.0, 1.0), (0.3, 0.5), (1.0, 1.0), (37.0, 50.0), (501.0, 1_000.0)] {
            assert!((round_up(value) - rounded).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn what_is_drawn_cannot_break_out_of_the_picture() {
        let drawn = bars(&[("<script>&\"".to_owned(), 3)]);
        assert!(drawn.contains("&lt;script&gt;&amp;&quot;") && !drawn.contains("<script"));
    }
}
