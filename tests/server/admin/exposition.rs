//! Metrics, read by the letter of OpenMetrics 1.0: whatever is not in its
//! grammar, or says a thing twice, is a failure.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Families and samples of one exposition.
#[derive(Debug)]
pub(crate) struct Exposition {
    /// Name → type.
    pub(crate) families: BTreeMap<String, String>,
    samples: HashMap<(String, BTreeMap<String, String>), f64>,
}

impl Exposition {
    pub(crate) fn parse(text: &str) -> Exposition {
        let mut families = BTreeMap::new();
        let mut helped = HashSet::new();
        let mut samples = HashMap::new();
        let mut current = String::new();
        let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
        for line in body.split_terminator('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty(), "{line}");
                assert!(helped.insert(name.to_owned()), "twice: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(
                    ["counter", "gauge", "histogram", "info"].contains(&kind),
                    "{line}"
                );
                let before = families.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "twice: {line}");
                current = name.to_owned();
            } else {
                assert!(!line.starts_with('#'), "{line}");
                let (name, labels, value) = sample(line);
                let kind = &families[&current];
                let suffix = name
                    .strip_prefix(&current)
                    .unwrap_or_else(|| panic!("{line}"));
                let fits = match kind.as_str() {
                    "counter" => suffix == "_total",
                    "info" => suffix == "_info" && value.to_bits() == 1.0_f64.to_bits(),
                    "histogram" => ["_sum", "_count", "_bucket"].contains(&suffix),
                    _ => suffix.is_empty(),
                };
                assert!(fits, "{kind}: {line}");
                assert!(value >= 0.0, "{line}");
                let before = samples.insert((name, labels), value);
                assert_eq!(before, None, "twice: {line}");
            }
        }
        assert_eq!(
            helped,
            families.keys().cloned().collect(),
            "each family has its help"
        );
        let exposition = Exposition { families, samples };
        exposition.histograms_add_up();
        exposition
    }

    /// The sample of this name with exactly these labels.
    pub(crate) fn sample(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let labels = labels.iter().map(owned).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// The same as a whole number, which must be there.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let value = self
            .sample(name, labels)
            .unwrap_or_else(|| panic!("no {name} {labels:?} in {self:#?}"));
        assert!(value.fract() == 0.0, "{name}: {value}");
        value as u64
    }

    /// All values of a label.
    pub(crate) fn values(&self, label: &str) -> HashSet<&str> {
        self.samples
            .keys()
            .filter_map(|(_, labels)| labels.get(label).map(String::as_str))
            .collect()
    }

    /// How many samples there are.
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    fn histograms_add_up(&self) {
        for ((name, labels), count) in &self.samples {
            let Some(family) = name.strip_suffix("_count") else {
                continue;
            };
            if self.families.get(family).map(String::as_str) != Some("histogram") {
                continue;
            }
            let mut buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter(|((name, of), _)| {
                    let mut of = of.clone();
                    of.remove("le");
                    name.strip_suffix("_bucket") == Some(family) && of == *labels
                })
                .map(|((_, labels), value)| match labels["le"].as_str() {
                    "+Inf" => (f64::INFINITY, *value),
                    bound => (bound.parse().unwrap(), *value),
                })
                .collect();
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by(|one, next| one.1 <= next.1), "{name}");
            let last = buckets.last().expect("a histogram has buckets");
            assert_eq!(last.0, f64::INFINITY, "{name}");
            assert_eq!(last.1.to_bits(), count.to_bits(), "{name}");
        }
    }
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let name = &line[..end];
    assert!(
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
        "{line}"
    );
    let mut labels = BTreeMap::new();
    let mut rest = &line[end..];
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(!label.is_empty(), "{line}");
            let close = after.find('"').unwrap_or_else(|| panic!("{line}"));
            let value = &after[..close];
            assert!(
                !value.contains('\\'),
                "no label here needs an escape: {line}"
            );
            let before = labels.insert(label.to_owned(), value.to_owned());
            assert_eq!(before, None, "{line}");
            rest = &after[close + 1..];
            if let Some(end) = rest.strip_prefix('}') {
                rest = end;
                break;
            }
            rest = rest.strip_prefix(',').unwrap_or_else(|| panic!("{line}"));
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    (name.to_owned(), labels, value)
}
