//! What was measured: one value a round, their median and spread, and ratios of two things measured in the same round.
//!
//! Pure. Only ratios within a round are worth comparing: a disk that is shared is three times as slow a minute later.

use std::time::Duration;

use serde::Serialize;

/// The value below which a share of all values lies; 0 when there are none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
    let place = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
    sorted.get(place).copied().unwrap_or(0.0)
}

/// Microseconds of durations.
pub(super) fn micros(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e6).collect()
}

/// Something that is measured once a round.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measure {
    pub(super) key: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) rounds: Vec<f64>,
}

impl Measure {
    fn summary(&self) -> Summary {
        Summary::of(&self.rounds)
    }
}

/// A ratio of two measures, with what it should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ratio {
    pub(super) title: &'static str,
    pub(super) of: &'static str,
    pub(super) to: &'static str,
    pub(super) goal: Goal,
}

/// What a ratio should be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// For orientation.
    None,
}

impl Goal {
    fn said(self) -> String {
        match self {
            Self::AtMost(most) => format!("<= {most}"),
            Self::AtLeast(least) => format!(">= {least}"),
            Self::None => "-".to_owned(),
        }
    }

    fn met(self, value: f64) -> &'static str {
        match self {
            Self::AtMost(most) if value <= most => "met",
            Self::AtLeast(least) if value >= least => "met",
            Self::AtMost(_) | Self::AtLeast(_) => "not met",
            Self::None => "",
        }
    }
}

/// Median and spread of rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Summary {
    fn of(rounds: &[f64]) -> Self {
        Self { median: quantile(rounds, 0.5), least: quantile(rounds, 0.0), most: quantile(rounds, 1.0) }
    }
}

/// All that was measured, in the order in which it is shown.
#[derive(Debug, Default)]
pub(super) struct Measures(Vec<Measure>);

impl Measures {
    pub(super) fn add(&mut self, key: &'static str, title: &'static str, unit: &'static str, value: f64) {
        match self.0.iter_mut().find(|measure| measure.key == key) {
            Some(measure) => measure.rounds.push(value),
            None => self.0.push(Measure { key, title, unit, rounds: vec![value] }),
        }
    }

    fn find(&self, key: &str) -> Option<&Measure> {
        self.0.iter().find(|measure| measure.key == key)
    }

    /// The ratio of each round.
    fn ratio(&self, ratio: &Ratio) -> Option<Summary> {
        let (of, to) = (self.find(ratio.of)?, self.find(ratio.to)?);
        let rounds: Vec<f64> =
            of.rounds.iter().zip(&to.rounds).filter(|(_, to)| **to > 0.0).map(|(of, to)| of / to).collect();
        (!rounds.is_empty()).then(|| Summary::of(&rounds))
    }

    /// For people.
    pub(super) fn table(&self, ratios: &[Ratio]) -> String {
        let mut rows = vec![["", "median", "least", "most", "unit", ""].map(str::to_owned)];
        for measure in &self.0 {
            let Summary { median, least, most } = measure.summary();
            rows.push([
                measure.title.to_owned(),
                number(median),
                number(least),
                number(most),
                measure.unit.to_owned(),
                String::new(),
            ]);
        }
        rows.push([const { String::new() }; 6]);
        rows.push(["ratio within a round", "median", "least", "most", "goal", ""].map(str::to_owned));
        for ratio in ratios {
            let Some(Summary { median, least, most }) = self.ratio(ratio) else { continue };
            let (goal, met) = (ratio.goal.said(), ratio.goal.met(median).to_owned());
            rows.push([ratio.title.to_owned(), number(median), number(least), number(most), goal, met]);
        }
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for (place, (cell, width)) in row.iter().zip(widths).enumerate() {
                let cell = if (1..4).contains(&place) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
                line.push_str(&cell);
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self, ratios: &[Ratio]) -> serde_json::Value {
        let measures: Vec<_> = self
            .0
            .iter()
            .map(|measure| serde_json::json!({"measure": measure, "summary": measure.summary()}))
            .collect();
        let ratios: Vec<_> = ratios
            .iter()
            .filter_map(|ratio| {
                let summary = self.ratio(ratio)?;
                Some(serde_json::json!({
                    "title": ratio.title, "of": ratio.of, "to": ratio.to, "summary": summary,
                    "goal": ratio.goal.said(), "met": ratio.goal.met(summary.median),
                }))
            })
            .collect();
        serde_json::json!({"measures": measures, "ratios": ratios})
    }
}

/// Three figures are all that such measurements tell.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&values, share)), [1.0, 3.0, 5.0, 5.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn ratios_are_of_the_same_round_and_say_whether_the_goal_is_met() {
        let mut measures = Measures::default();
        // The second round was three times as slow for both: the ratio does not see it.
        for (floor, ours) in [(100.0, 150.0), (300.0, 450.0), (100.0, 170.0)] {
            measures.add("floor", "one row per commit", "us", floor);
            measures.add("ours", "ping", "us", ours);
        }
        let ratios = [
            Ratio { title: "ping to commit", of: "ours", to: "floor", goal: Goal::AtMost(1.5) },
            Ratio { title: "commit to ping", of: "floor", to: "ours", goal: Goal::AtLeast(0.9) },
            Ratio { title: "nothing", of: "ours", to: "absent", goal: Goal::None },
        ];
        insta::assert_snapshot!(measures.table(&ratios), @r"
                              median  least  most  unit
        one row per commit       100    100   300  us
        ping                     170    150   450  us

        ratio within a round  median  least  most  goal
        ping to commit          1.50   1.50  1.70  <= 1.5  met
        commit to ping          0.67   0.59  0.67  >= 0.9  not met
        ");
    }
}
