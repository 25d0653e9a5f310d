//! Pictures as SVG.

use std::error::Error;
use std::io;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::count;

const WIDTH: u32 = 900;
const LABELS: u32 = 250;
const FONT: &str = "sans-serif";

/// One group of bars: a contender with a value for each series.
pub struct Bar {
    /// The contender.
    pub label: String,
    /// A value for each series; `None` leaves a gap.
    pub values: Vec<Option<f64>>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Horizontal bars on a logarithmic axis.
pub fn bars(path: &Path, axis: &str, series: &[&str], groups: &[Bar]) -> io::Result<()> {
    let values = groups.iter().flat_map(|group| group.values.iter().flatten().copied());
    let (least, most) = values
        .fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| (least.min(value), most.max(value)));
    let height = 90 + groups.len() as u32 * (14 * series.len() as u32 + 8);
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    draw_bars(&root, axis, series, groups, (least / 2.0, most * 2.0))
        .map_err(|error| io::Error::other(error.to_string()))
}

fn draw_bars(
    root: &Area<'_>,
    axis: &str,
    series: &[&str],
    groups: &[Bar],
    (least, most): (f64, f64),
) -> Result<(), Box<dyn Error>> {
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(LABELS)
        .build_cartesian_2d((least..most).log_scale(), 0.0..groups.len() as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_label_formatter(&|x| count(*x))
        .x_desc(axis)
        .label_style((FONT, 13))
        .draw()?;
    let thickness = 0.8 / series.len() as f64;
    for (number, name) in series.iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        let rectangles = groups.iter().enumerate().filter_map(|(row, group)| {
            let value = group.values.get(number).copied().flatten()?;
            let top = (groups.len() - row) as f64 - 0.1 - thickness * number as f64;
            Some(Rectangle::new([(least, top - thickness), (value, top)], color.filled()))
        });
        chart
            .draw_series(rectangles)?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], color.filled()));
    }
    for (row, group) in groups.iter().enumerate() {
        let (_, y) = chart.backend_coord(&(least, (groups.len() - row) as f64 - 0.5));
        root.draw(&Text::new(group.label.clone(), (12, y - 7), (FONT, 13)))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 13))
        .draw()?;
    root.present()?;
    Ok(())
}

/// Lines through points, both axes logarithmic.
pub fn lines(path: &Path, axes: (&str, &str), series: &[(&str, Vec<(f64, f64)>)]) -> io::Result<()> {
    let root = SVGBackend::new(path, (WIDTH, 420)).into_drawing_area();
    draw_lines(&root, axes, series).map_err(|error| io::Error::other(error.to_string()))
}

fn draw_lines(
    root: &Area<'_>,
    axes: (&str, &str),
    series: &[(&str, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn Error>> {
    let range = |pick: fn(&(f64, f64)) -> f64| {
        let values = series.iter().flat_map(|(_, points)| points).map(pick);
        let (least, most) = values
            .fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| (least.min(value), most.max(value)));
        (least / 1.5..most * 1.5).log_scale()
    };
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(root)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(range(|point| point.0), range(|point| point.1))?;
    chart
        .configure_mesh()
        .x_label_formatter(&|x| count(*x))
        .x_desc(axes.0)
        .y_desc(axes.1)
        .label_style((FONT, 13))
        .draw()?;
    for (number, (name, points)) in series.iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 13))
        .draw()?;
    root.present()?;
    Ok(())
}
