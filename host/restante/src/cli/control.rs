//! `status`, `sessions`, `kick`, `reload` and `tenants`: a running server, asked
//! at its admin address.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use restante_config::{Admin, AdminAddress};
use restante_server::admin::Token;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::print::print;
use super::table::{Align, Table, counted, duration, harmless, octets};

/// Octets of an answer: a hundred thousand sessions take less.
const ANSWER_OCTETS: usize = 256 << 20;

/// For the server to answer, but for a reload.
const PATIENCE: Duration = Duration::from_secs(30);

/// For a reload, which may compile every component.
const RELOAD_PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Where the server is, and how to show what it says.
#[derive(clap::Args)]
pub(super) struct Ask {
    /// The configuration file of the server
    #[arg(long, value_name = "FILE", required_unless_present = "admin")]
    config: Option<PathBuf>,
    /// The server's admin address: 127.0.0.1:9110 or unix:/run/restante/admin.sock
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<AdminAddress>,
    /// The file with the token, if the admin address is a port
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,
}

/// Which sessions it is about.
#[derive(clap::Args)]
pub(super) struct SessionChoice {
    /// Only those of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only those of this server, as its `node` has it; without it, those of all servers that
    /// share holds
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Only those of the server that is asked
    #[arg(long, conflicts_with = "node")]
    here: bool,
}

/// Which sessions end.
#[derive(clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Which {
    /// A session, as `restante sessions` and the log call it
    #[arg(conflicts_with_all = ["user", "tenant"])]
    session: Option<String>,
    /// All sessions of this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// All sessions of this tenant, or those of --user in it
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

/// Where they end.
#[derive(clap::Args)]
pub(super) struct Where {
    /// On this server alone, as its `node` has it; without it, on all servers that share holds
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

/// `restante status`.
pub(super) fn status(ask: &Ask) -> anyhow::Result<()> {
    let status = ask.get("/status")?;
    ask.print(&status, || {
        let number = |key: &str| status[key].as_u64().unwrap_or(0);
        let state = match status["ready"].as_bool() {
            Some(true) => "serving",
            _ => "stopping",
        };
        let rows = [
            ("version", text(&status["version"])),
            ("process", number("process").to_string()),
            ("state", state.to_owned()),
            ("up for", duration(number("uptime_seconds"))),
            (
                "generation",
                format!(
                    "{} ({} live, {}, {} failed)",
                    number("generation"),
                    number("generations"),
                    counted(number("reloads"), "reload"),
                    number("failed_reloads")
                ),
            ),
            ("tenants", tenants_in_words(&status)),
            (
                "connections",
                format!(
                    "{} ({} logged in)",
                    number("connections"),
                    number("sessions")
                ),
            ),
            (
                "since start",
                format!(
                    "{}, {} refused",
                    counted(number("connections_total"), "connection"),
                    number("connections_refused")
                ),
            ),
            (
                "instances",
                format!(
                    "{} of {}, with {}",
                    number("instances"),
                    number("instances_limit"),
                    octets(number("guest_memory_octets"))
                ),
            ),
            ("memory", octets(number("resident_octets"))),
        ];
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        for (key, value) in rows {
            table.row(vec![key.to_owned(), value]);
        }
        table.text().trim_start().to_owned()
    })
}

/// How many there are, and which of them are out.
fn tenants_in_words(status: &Value) -> String {
    let out: Vec<_> = rows(status, "tenants_unavailable").map(text).collect();
    let all = text(&status["tenants"]);
    match out.as_slice() {
        [] => all,
        _ => format!(
            "{all}, {} of them out: {}",
            out.len(),
            harmless(&out.join(", "))
        ),
    }
}

/// `restante sessions`.
pub(super) fn sessions(ask: &Ask, whose: &SessionChoice) -> anyhow::Result<()> {
    let mut answer = ask.get(match whose.here {
        true => "/sessions?here",
        false => "/sessions",
    })?;
    let fits = |session: &Value, key: &str, wanted: &Option<String>| {
        wanted
            .as_ref()
            .is_none_or(|wanted| session[key].as_str() == Some(wanted))
    };
    if let Some(sessions) = answer["sessions"].as_array_mut() {
        sessions.retain(|session| {
            fits(session, "user", &whose.user)
                && fits(session, "tenant", &whose.tenant)
                && fits(session, "node", &whose.node)
        });
    }
    warn_of(&answer);
    ask.print(&answer, || {
        let mut table = Table::new(&[
            ("SESSION", Align::Left),
            ("NODE", Align::Left),
            ("TENANT", Align::Left),
            ("USER", Align::Left),
            ("CLIENT", Align::Left),
            ("LISTENER", Align::Left),
            ("TLS", Align::Left),
            ("STATE", Align::Left),
            ("FOR", Align::Right),
            ("OCTETS", Align::Right),
            ("GENERATION", Align::Right),
        ]);
        for session in rows(&answer, "sessions") {
            let mut cells: Vec<String> = [
                "session", "node", "tenant", "user", "client", "listener", "tls", "state",
            ]
            .iter()
            .map(|key| text(&session[*key]))
            .collect();
            cells.push(duration(session["seconds"].as_u64().unwrap_or(0)));
            // Other servers do not tell these.
            cells.push(session["octets"].as_u64().map_or("-".to_owned(), octets));
            cells.push(text(&session["generation"]));
            table.row(cells);
        }
        table.text()
    })
}

/// `restante tenants`.
pub(super) fn tenants(ask: &Ask) -> anyhow::Result<()> {
    let answer = ask.get("/tenants")?;
    ask.print(&answer, || {
        let mut table = Table::new(&[
            ("TENANT", Align::Left),
            ("STATE", Align::Left),
            ("SESSIONS", Align::Right),
            ("LOGINS", Align::Right),
            ("REFUSED", Align::Right),
            ("RETRIEVED", Align::Right),
            ("OCTETS", Align::Right),
            ("REMOVED", Align::Right),
            ("GUEST CPU", Align::Right),
            ("HASHES", Align::Right),
            ("MEMORY", Align::Right),
            ("PEAK", Align::Right),
            ("HOST CALLS", Align::Right),
        ]);
        for tenant in rows(&answer, "tenants") {
            let number = |key: &str| tenant[key].as_u64().unwrap_or(0);
            let ok = tenant["logins"]["ok"].as_u64().unwrap_or(0);
            let all: u64 = tenant["logins"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(_, count)| count.as_u64())
                .sum();
            let time = |key: &str| {
                let milliseconds = number(key) / 1_000_000;
                format!("{}.{:03} s", milliseconds / 1000, milliseconds % 1000)
            };
            table.row(vec![
                text(&tenant["tenant"]),
                match rows(tenant, "problems").next() {
                    Some(_) => "out".to_owned(),
                    None => "serves".to_owned(),
                },
                number("sessions").to_string(),
                ok.to_string(),
                all.saturating_sub(ok).to_string(),
                number("retrieved_messages").to_string(),
                octets(number("retrieved_octets")),
                number("removed_messages").to_string(),
                time("guest_cpu_nanoseconds"),
                time("password_hash_nanoseconds"),
                octets(number("memory_octets")),
                octets(number("peak_memory_octets")),
                octets(number("host_call_octets")),
            ]);
        }
        let mut said = table.text();
        for tenant in rows(&answer, "tenants") {
            for problem in rows(tenant, "problems") {
                let name = text(&tenant["tenant"]);
                said.push_str(&format!(
                    "{} is out: {}\n",
                    harmless(&name),
                    sentence(problem)
                ));
            }
        }
        said
    })
}

/// `restante kick`.
pub(super) fn kick(ask: &Ask, which: &Which, place: &Where) -> anyhow::Result<()> {
    let fields = [
        ("session", &which.session),
        ("user", &which.user),
        ("tenant", &which.tenant),
        ("node", &place.node),
    ];
    let body = fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?.into())))
        .collect();
    let answer = ask.post("/kick", Value::Object(body))?;
    let kicked = answer.body["kicked"].as_array().map_or(0, Vec::len);
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for session in rows(&answer.body, "asked") {
        *asked.entry(text(&session["node"])).or_default() += 1;
    }
    warn_of(&answer.body);
    ask.print(&answer.body, || {
        let sessions = counted(kicked, "session");
        let mut said = match kicked > 0 || asked.is_empty() {
            true => format!("{sessions} ended; nothing was deleted\n"),
            false => String::new(),
        };
        let seconds = answer.body["within_seconds"].as_u64().unwrap_or(0);
        for (node, count) in &asked {
            said.push_str(&format!(
                "asked node {} to end {}, which takes up to {seconds} seconds; nothing is deleted\n",
                harmless(node),
                counted(*count, "session")
            ));
        }
        said
    })?;
    if kicked == 0 && asked.is_empty() {
        let is_asked = answer.body["problem"].is_null();
        match answer.body["within_seconds"].as_u64() {
            Some(seconds) if is_asked => bail!(
                "no session is known here or told by other nodes; they were asked, and end what they \
                 have within {seconds} seconds"
            ),
            Some(_) => bail!("there is no such session on this server"),
            None => bail!("there is no such session"),
        }
    }
    Ok(())
}

/// What the server could not say.
fn warn_of(answer: &Value) {
    if let Some(problem) = answer["problem"].as_str() {
        eprintln!("warning: {}", harmless(problem));
    }
}

/// `restante cache flush`.
pub(super) fn flush_cache(ask: &Ask) -> anyhow::Result<()> {
    let answer = ask.post("/flush-cache", json!({}))?;
    ask.print(&answer.body, || {
        let forgotten = answer.body["answers"].as_u64().unwrap_or_default();
        let answers = counted(forgotten, "remembered answer");
        format!("{answers} of databases forgotten\n")
    })
}

/// `restante reload`.
pub(super) fn reload(ask: &Ask) -> anyhow::Result<()> {
    let answer = ask.post("/reload", json!({}))?;
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        if ask.json {
            print(&format!(
                "{}\n",
                serde_json::to_string_pretty(&answer.body)?
            ))?;
        } else {
            for problem in rows(&answer.body, "problems") {
                eprintln!("{}", sentence(problem));
            }
        }
        bail!("nothing reloaded, keeping the current configuration");
    }
    ask.print(&answer.body, || {
        let body = &answer.body;
        let number = |key: &str| body[key].as_u64().unwrap_or_default();
        let mut said = format!(
            "reloaded: generation {}, {}, {}, {} ms\n",
            body["generation"],
            counted(number("tenants"), "tenant"),
            counted(number("plugins"), "plugin"),
            body["milliseconds"]
        );
        for warning in rows(body, "warnings") {
            said.push_str(&format!("warning: {}\n", sentence(warning)));
        }
        for key in rows(body, "restart") {
            said.push_str(&format!(
                "{} has changed; restart the server to apply it\n",
                text(key)
            ));
        }
        said
    })
}

/// A problem of the configuration, as `restante check` has it.
fn sentence(problem: &Value) -> String {
    let mut sentence = text(&problem["file"]);
    if let (Some(line), Some(column)) = (problem["line"].as_u64(), problem["column"].as_u64()) {
        sentence.push_str(&format!(":{line}:{column}"));
    }
    let what = text(&problem["what"]);
    let what: Vec<String> = what.lines().map(harmless).collect();
    sentence.push_str(&format!(": {}", what.join("\n")));
    if let Some(mend) = problem["mend"].as_str() {
        sentence.push_str(&format!("\n  {}", harmless(mend)));
    }
    sentence
}

fn rows<'a>(answer: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    answer[key].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// What the server says.
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Ask {
    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.ask(Method::GET, path, Bytes::new(), PATIENCE)?;
        Ok(answer.body)
    }

    fn post(&self, path: &str, body: Value) -> anyhow::Result<Answer> {
        let body = Bytes::from(body.to_string());
        self.ask(Method::POST, path, body, RELOAD_PATIENCE)
    }

    /// As JSON, or as `text` shows it.
    fn print(&self, body: &Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.json {
            true => print(&serde_json::to_string_pretty(body)?),
            false => print(&text()),
        }
    }

    /// One request. An answer that the server did not mean well is an error, but
    /// for the problems of a reload.
    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Duration,
    ) -> anyhow::Result<Answer> {
        let place = self.place()?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost");
        if let Some(file) = &place.token_file {
            let token = Token::text(file)?;
            request = request.header(AUTHORIZATION, format!("Bearer {}", *token));
        }
        let request = request.body(Full::new(body))?;
        let executor = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the event loop cannot start")?;
        let asked = async {
            let asking = connect(&place.address, request);
            match timeout(patience, asking).await {
                Ok(answer) => answer,
                Err(_) => bail!("no answer within {} s", patience.as_secs()),
            }
        };
        let answer = executor
            .block_on(asked)
            .with_context(|| format!("admin address {}", place.address))?;
        let meant = answer.status.is_success() || answer.status == StatusCode::UNPROCESSABLE_ENTITY;
        if meant {
            return Ok(answer);
        }
        let words = answer.body["error"]
            .as_str()
            .unwrap_or("no reason is given");
        match (answer.status, &place.token_file) {
            (StatusCode::UNAUTHORIZED, None) => {
                bail!("the server requires a token: name its file with --token-file")
            }
            (StatusCode::UNAUTHORIZED, Some(file)) => {
                bail!("the token in {} is not the server's", file.display())
            }
            (status, _) => bail!("the server answers {status}: {}", harmless(words)),
        }
    }

    /// The address as it is given, or as the configuration has it.
    fn place(&self) -> anyhow::Result<Admin> {
        let configured = match &self.config {
            Some(file) => configured(file)?,
            None => None,
        };
        let (address, configured_token) = match (&self.admin, configured) {
            (Some(address), configured) => (
                address.clone(),
                configured.and_then(|admin| admin.token_file),
            ),
            (None, Some(admin)) => (admin.address, admin.token_file),
            (None, None) => bail!(
                "the configuration names no admin address\n  add admin = \"unix:/run/restante/admin.sock\" to [server], and restart the server"
            ),
        };
        Ok(Admin {
            address,
            token_file: self.token_file.clone().or(configured_token),
        })
    }
}

fn configured(file: &Path) -> anyhow::Result<Option<Admin>> {
    Admin::of_file(file).map_err(|problems| anyhow!("{problems}"))
}

async fn connect(address: &AdminAddress, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
    match address {
        AdminAddress::Tcp(address) => {
            let stream = reached(TcpStream::connect(address)).await?;
            exchange(stream, request).await
        }
        AdminAddress::Unix(path) => {
            let stream = reached(UnixStream::connect(path)).await?;
            exchange(stream, request).await
        }
    }
}

async fn reached<S>(connecting: impl Future<Output = io::Result<S>>) -> anyhow::Result<S> {
    connecting.await.map_err(|error| {
        let mend = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "is the server running, with this `admin` in its configuration?"
            }
            io::ErrorKind::PermissionDenied => "run this command as the server's user, or as root",
            _ => "is this the server's admin address?",
        };
        anyhow!("the server does not answer: {error}\n  {mend}")
    })
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> anyhow::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    const NO_HTTP: &str = "the program at this address is not a restante server";
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .context(NO_HTTP)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.context(NO_HTTP)?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_OCTETS)
        .collect()
        .await
        .map_err(|error| anyhow!("the answer broke off: {error}"))?
        .to_bytes();
    connection.abort();
    Ok(Answer {
        status: head.status,
        body: serde_json::from_slice(&body).context(NO_HTTP)?,
    })
}
