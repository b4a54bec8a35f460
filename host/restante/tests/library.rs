//! A server that another program starts: from a configuration, without the command
//! line.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use restante::Server;
use restante::server::StartError;
use restante_config::Config;
use restante_server::shutdown;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn config(folder: &std::path::Path, store: &str) -> Config {
    for part in ["users", "mail/ada/new", "mail/ada/cur", "mail/ada/tmp"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::write(folder.join("users/passwd"), "ada:{PLAIN}x\n").unwrap();
    let mail = folder.join("mail/ada/new/1000000000.M1P1.mail");
    fs::write(mail, "Subject: hello\n\nbody\n").unwrap();
    let text = format!(
        "[server]\nhostname = \"pop.test.example\"\nstate-dir = {state:?}\n\
         [listener.pop3]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n\
         [plugin.users]\ncomponent = \"builtin:passwd-file\"\n\
         [plugin.users.settings]\nfile = \"/users/passwd\"\n\
         [plugin.users.grants]\n\
         directories = [{{ host = {users:?}, guest = \"/users\", access = \"read\" }}]\n\
         [plugin.mail]\ncomponent = \"builtin:{store}\"\n\
         [plugin.mail.grants]\nmaildrop = {mail:?}\n\
         [tenant.test]\nauthenticators = [\"users\"]\nstore = \"mail\"\n",
        state = folder.join("state"),
        users = folder.join("users"),
        mail = folder.join("mail/{user}"),
    );
    let file = folder.join("restante.toml");
    fs::write(&file, text).unwrap();
    Config::load(&file).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_runs_from_bind_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::bind(config(folder.path(), "maildir")).unwrap();
    let prepared = server.prepare().await.unwrap();
    let address = prepared.bound()[0].address();
    let (trigger, end) = shutdown::channel();
    let mut serving = prepared.serve(end);

    let mut client = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut lines = Vec::new();
    for command in ["", "USER ada\r\n", "PASS x\r\n", "STAT\r\n", "QUIT\r\n"] {
        client.write_all(command.as_bytes()).await.unwrap();
        let mut line = String::new();
        let read = timeout(PATIENCE, client.read_line(&mut line));
        assert_ne!(read.await.unwrap().unwrap(), 0, "closed after {command:?}");
        lines.push(line);
    }
    assert!(
        lines.iter().all(|line| line.starts_with("+OK")),
        "{lines:?}"
    );
    assert_eq!(lines[3], "+OK 1 24\r\n");

    trigger.begin(Duration::ZERO);
    timeout(PATIENCE, serving.ended()).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_is_wrong_is_an_error_and_no_log_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::bind(config(folder.path(), "nothing-of-this-name")).unwrap();
    let (_trigger, end) = shutdown::channel();
    match server.run(end).await {
        Err(StartError::Refused(problems)) => {
            assert!(problems.to_string().contains("nothing-of-this-name"));
        }
        other => panic!("{other:?}"),
    }
}
