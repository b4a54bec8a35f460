//! Metrics as text, in the format of OpenMetrics that Prometheus reads.
//!
//! docs/operations.md says what each means; a test holds the two together.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::answers::{CacheLookup, CacheTotals};
use super::calls::{CallFailure, CallTotals, ROLES, ShadowResult};
use super::durations::{BOUNDS, DurationTotals};
use super::engines::{EngineCall, EngineFailure, EngineTotals};
use super::holds::{HoldCounts, HoldFailure};
use super::ledger::{LoginResult, Totals};
use super::registry::{Metrics, NO_TENANT, Status};

/// The media type of [`Metrics::exposition`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PREFIX: &str = "restante";

/// The generation that new sessions get.
#[derive(Debug, Clone, Copy)]
pub struct Current {
    /// Its number.
    pub generation: u64,
    /// How many tenants it has.
    pub tenants: u64,
    /// How many of them serve nobody.
    pub tenants_out: u64,
}

/// What is read when somebody asks.
#[derive(Debug)]
struct Snapshot {
    status: Status,
    current: Current,
    open: u64,
    tenants: Vec<(std::sync::Arc<str>, Totals)>,
    unclaimed: Totals,
    plugins: Vec<(std::sync::Arc<str>, CallTotals)>,
    engines: Vec<(std::sync::Arc<str>, EngineTotals)>,
    databases: Vec<(std::sync::Arc<str>, CacheTotals)>,
    holds: std::sync::Arc<HoldCounts>,
}

impl Metrics {
    /// All metrics as text. `open`: connections that are open.
    ///
    /// # Errors
    /// None that is expected: text goes into memory.
    pub fn exposition(&self, open: u64, current: Current) -> Result<String, fmt::Error> {
        let snapshot = Snapshot {
            status: self.status(),
            current,
            open,
            tenants: self.labelled_tenants(),
            unclaimed: self.nobody.totals(),
            plugins: self.labelled_plugins(),
            engines: self.labelled_engines(),
            databases: self.labelled_databases(),
            holds: std::sync::Arc::clone(self.holds()),
        };
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(snapshot));
        let mut out = String::new();
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.server(&mut encoder)?;
        self.tenants(&mut encoder)?;
        self.engines(&mut encoder)?;
        self.databases(&mut encoder)?;
        self.plugins(&mut encoder)
    }
}

type TenantMetric<T> = (&'static str, &'static str, fn(&Totals) -> T);

impl Snapshot {
    fn server(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.status;
        let mut version =
            encoder.encode_descriptor("build", "This program", None, MetricType::Info)?;
        version.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let since = status
            .started_at
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let gauges = [
            ("connections_open", "Connections now", self.open),
            (
                "generation",
                "The current generation's number",
                self.current.generation,
            ),
            (
                "generations",
                "Generations that live: the current one, and older ones with sessions",
                status.generations,
            ),
            (
                "engine_away",
                "Engines with holds that do not answer, or where another server has this one's `node`",
                self.holds.engines_away(),
            ),
            (
                "holds",
                "Maildrops that this server has a hold on",
                self.holds.held(),
            ),
            (
                "instances_limit",
                "Plugins' instances that may live at once",
                status.most_instances,
            ),
            (
                "resident_memory_bytes",
                "Memory of the process",
                status.resident_octets,
            ),
            (
                "start_time_seconds",
                "When the server started, since the Unix epoch",
                since.as_secs(),
            ),
            (
                "tenants",
                "Tenants of the current generation",
                self.current.tenants,
            ),
            (
                "tenants_unavailable",
                "Those of them that serve nobody, for something of theirs is broken",
                self.current.tenants_out,
            ),
        ];
        for (name, help, value) in gauges {
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)?;
        }
        let counters = [
            (
                "connections",
                "Connections that were accepted",
                status.connections,
            ),
            (
                "connections_refused",
                "Connections that were turned away at a limit",
                status.refused,
            ),
            (
                "accepts_without_descriptor",
                "Connections that met a process or a system without file descriptors",
                status.without_descriptor,
            ),
            (
                "log_lines_dropped",
                "Lines of the log that could not be written, or not as fast as they came",
                status.log_lines_dropped,
            ),
            (
                "node_news_dropped",
                "What servers tell one another of failed logins that was dropped, since it was too much",
                self.holds.news_dropped(),
            ),
            (
                "node_news_failures",
                "Heartbeats with which servers could not tell one another anything",
                self.holds.news_failures(),
            ),
        ];
        for (name, help, value) in counters {
            encode_counter(
                &mut encoder.encode_descriptor(name, help, None, MetricType::Counter)?,
                &value,
            )?;
        }
        let mut failures = encoder.encode_descriptor(
            "hold_failures",
            "Holds that were refused or lost, by reason",
            None,
            MetricType::Counter,
        )?;
        for why in HoldFailure::ALL {
            let count = self.holds.failures(why);
            labelled_counter(&mut failures, &[("kind", why.name())], &count)?;
        }
        let mut reloads = encoder.encode_descriptor(
            "reloads",
            "Reloads, by what came of them",
            None,
            MetricType::Counter,
        )?;
        for (result, value) in [("ok", status.reloads), ("failed", status.failed_reloads)] {
            labelled_counter(&mut reloads, &[("result", result)], &value)?;
        }
        Ok(())
    }

    fn tenants(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut logins = encoder.encode_descriptor(
            "logins",
            "Logins, by what came of them",
            None,
            MetricType::Counter,
        )?;
        for (tenant, totals) in &self.tenants {
            for result in LoginResult::ALL {
                let labels = [("tenant", &**tenant), ("result", result.name())];
                labelled_counter(&mut logins, &labels, &totals.logins(result))?;
            }
        }
        let labels = [
            ("tenant", NO_TENANT),
            ("result", LoginResult::Rejected.name()),
        ];
        let rejected = self.unclaimed.logins(LoginResult::Rejected);
        labelled_counter(&mut logins, &labels, &rejected)?;

        let gauges: [TenantMetric<u64>; 4] = [
            ("sessions", "Sessions that are logged in", |t| t.sessions),
            ("instances", "Plugins' instances that live", |t| t.instances),
            (
                "guest_memory_bytes",
                "Linear memory of the instances that live",
                |t| t.memory_octets,
            ),
            (
                "guest_memory_peak_bytes",
                "The most linear memory that instances had at once",
                |t| t.peak_memory_octets,
            ),
        ];
        for (name, help, value) in gauges {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (tenant, totals) in &self.tenants {
                metric
                    .encode_family(&[("tenant", &**tenant)])?
                    .encode_gauge(&value(totals))?;
            }
        }
        let counters: [TenantMetric<u64>; 7] = [
            (
                "logins_without_maildrop",
                "Logins that found no directory for their maildrop",
                |t| t.logins_without_maildrop,
            ),
            (
                "expired_messages_kept",
                "Messages that had expired and were kept, for that was doubtful",
                |t| t.expired_messages_kept,
            ),
            (
                "sessions_taken_over",
                "Sessions that a later login of their user ended",
                |t| t.sessions_taken_over,
            ),
            ("retrieved_messages", "Messages sent to RETR", |t| {
                t.retrieved_messages
            }),
            (
                "retrieved_bytes",
                "Octets of messages sent to RETR and TOP",
                |t| t.retrieved_octets,
            ),
            ("removed_messages", "Messages removed in UPDATE", |t| {
                t.removed_messages
            }),
            (
                "host_call_bytes",
                "Octets of mail and files that plugins read or handed over",
                |t| t.host_call_octets,
            ),
        ];
        for (name, help, value) in counters {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (tenant, totals) in &self.tenants {
                labelled_counter(&mut metric, &[("tenant", &**tenant)], &value(totals))?;
            }
        }
        let times: [TenantMetric<u64>; 2] = [
            (
                "guest_cpu_seconds",
                "CPU time of plugins' calls, the host's work for them among it",
                |t| t.guest_cpu_nanoseconds,
            ),
            (
                "password_hash_seconds",
                "CPU time of password hashes for logins",
                |t| t.password_hash_nanoseconds,
            ),
        ];
        for (name, help, value) in times {
            let mut cpu = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (tenant, totals) in &self.tenants {
                let time = seconds(value(totals));
                labelled_counter(&mut cpu, &[("tenant", &**tenant)], &time)?;
            }
        }
        Ok(())
    }

    fn engines(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let asked = || self.engines.iter().filter(|(_, totals)| !totals.is_empty());
        let mut durations = encoder.encode_descriptor(
            "engine_call_seconds",
            "How long engines took for what sessions asked of their maildrops",
            None,
            MetricType::Histogram,
        )?;
        for (engine, totals) in asked() {
            for call in EngineCall::ALL {
                let labels = [("engine", &**engine), ("call", call.name())];
                labelled_histogram(&mut durations, &labels, &totals.calls[call as usize])?;
            }
        }
        let mut failures = encoder.encode_descriptor(
            "engine_failures",
            "Such calls that failed",
            None,
            MetricType::Counter,
        )?;
        for (engine, totals) in asked() {
            for kind in EngineFailure::ALL {
                let labels = [("engine", &**engine), ("kind", kind.name())];
                labelled_counter(&mut failures, &labels, &totals.failures[kind as usize])?;
            }
        }
        Ok(())
    }

    fn databases(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let asked = || (self.databases.iter()).filter(|(_, totals)| !totals.is_empty());
        let mut lookups = encoder.encode_descriptor(
            "database_cache_lookups",
            "Queries of databases that were looked for among the remembered answers",
            None,
            MetricType::Counter,
        )?;
        for (database, totals) in asked() {
            for result in CacheLookup::ALL {
                let labels = [("database", &**database), ("result", result.name())];
                labelled_counter(&mut lookups, &labels, &totals.lookups[result as usize])?;
            }
        }
        let mut bytes = encoder.encode_descriptor(
            "database_cache_bytes",
            "Memory of remembered answers",
            None,
            MetricType::Gauge,
        )?;
        for (database, totals) in asked() {
            bytes
                .encode_family(&[("database", &**database)])?
                .encode_gauge(&totals.bytes)?;
        }
        Ok(())
    }

    fn plugins(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut resting = encoder.encode_descriptor(
            "plugin_resting_tenants",
            "Tenants that a plugin rests for, after failing again and again",
            None,
            MetricType::Gauge,
        )?;
        for (plugin, totals) in &self.plugins {
            resting
                .encode_family(&[("plugin", &**plugin)])?
                .encode_gauge(&totals.resting)?;
        }
        let mut durations = encoder.encode_descriptor(
            "plugin_call_seconds",
            "How long calls into plugins took",
            None,
            MetricType::Histogram,
        )?;
        for (plugin, role, totals) in self.called() {
            let labels = [("plugin", plugin), ("role", role)];
            labelled_histogram(&mut durations, &labels, &totals.durations)?;
        }
        let mut failures = encoder.encode_descriptor(
            "plugin_failures",
            "Calls into plugins that failed, and such that were not made",
            None,
            MetricType::Counter,
        )?;
        for (plugin, role, totals) in self.called() {
            for kind in CallFailure::ALL {
                let labels = [("plugin", plugin), ("role", role), ("kind", kind.name())];
                labelled_counter(&mut failures, &labels, &totals.failures[kind as usize])?;
            }
        }
        let mut shadows = encoder.encode_descriptor(
            "plugin_shadow_answers",
            "Answers of plugins that are shadows, against those of the live ones",
            None,
            MetricType::Counter,
        )?;
        for (plugin, role, totals) in self.called() {
            if totals.shadow == [0; ShadowResult::ALL.len()] {
                continue;
            }
            for result in ShadowResult::ALL {
                let labels = [
                    ("plugin", plugin),
                    ("role", role),
                    ("result", result.name()),
                ];
                labelled_counter(&mut shadows, &labels, &totals.shadow[result as usize])?;
            }
        }
        Ok(())
    }

    /// Plugins and their roles, as far as they were ever called in them.
    fn called(&self) -> impl Iterator<Item = (&str, &'static str, &super::calls::RoleTotals)> {
        self.plugins.iter().flat_map(|(plugin, totals)| {
            ROLES
                .iter()
                .zip(&totals.roles)
                .filter(|(_, role)| !role.is_empty())
                .map(|(name, role)| (&**plugin, *name, role))
        })
    }
}

fn labelled_histogram(
    metric: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    totals: &DurationTotals,
) -> fmt::Result {
    let mut buckets = [(f64::INFINITY, 0); BOUNDS.len() + 1];
    for (bucket, bound) in buckets.iter_mut().zip(BOUNDS) {
        bucket.0 = bound;
    }
    for (bucket, count) in buckets.iter_mut().zip(totals.buckets) {
        bucket.1 = count;
    }
    metric
        .encode_family(labels)?
        .encode_histogram::<NoLabelSet>(seconds(totals.nanoseconds), totals.count(), &buckets, None)
}

fn labelled_counter<V: prometheus_client::encoding::EncodeCounterValue>(
    metric: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: &V,
) -> fmt::Result {
    encode_counter(&mut metric.encode_family(labels)?, value)
}

fn encode_counter<V: prometheus_client::encoding::EncodeCounterValue>(
    metric: &mut MetricEncoder<'_>,
    value: &V,
) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, V, u64>(value, None)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of decades fit to a microsecond"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::metrics::CallFailure;

    const REFERENCE: &str = include_str!("../../../../docs/operations.md");

    /// Name → type, of what docs/operations.md describes.
    fn described() -> BTreeMap<String, String> {
        let rows = REFERENCE
            .lines()
            .filter(|line| line.starts_with("| `restante_"));
        rows.map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect()
    }

    #[test]
    fn every_metric_is_described_and_nothing_else() {
        let metrics = Metrics::new();
        let _ledger = metrics.ledger("t");
        let calls = metrics.calls("p");
        calls.failed("store.open", CallFailure::Lie);
        let engine = metrics.engine("e");
        engine.failed(EngineFailure::Lost);
        let database = metrics.database("d");
        database.looked_up(CacheLookup::Miss);
        let current = Current {
            generation: 1,
            tenants: 1,
            tenants_out: 0,
        };
        let text = metrics.exposition(0, current).unwrap();
        let families: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
            .collect();
        assert_eq!(families, described());
        // The values of labels too.
        let words = LoginResult::ALL.map(LoginResult::name).into_iter();
        let words = words.chain(CallFailure::ALL.map(CallFailure::name));
        let words = words.chain(HoldFailure::ALL.map(HoldFailure::name));
        let words = words.chain(EngineCall::ALL.map(EngineCall::name));
        let words = words.chain(EngineFailure::ALL.map(EngineFailure::name));
        let words = words.chain(CacheLookup::ALL.map(CacheLookup::name));
        for word in words {
            assert!(REFERENCE.contains(&format!("`{word}`")), "{word}");
        }
    }
}
