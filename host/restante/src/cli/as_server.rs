//! A configuration looked at as the user that the server becomes.

use std::path::Path;

use restante_config::Config;

use super::serve::becoming;

/// Something that does not keep the server from starting.
pub(super) fn warning(words: impl std::fmt::Display) {
    eprintln!("warning: {words}");
}

/// Becomes the user that the server becomes, and reads the configuration as that user will
/// at each reload.
pub(super) fn as_the_server(config: Config, file: &Path) -> anyhow::Result<Config> {
    let Some(becoming) = becoming(&config)? else {
        return Ok(config);
    };
    let name = becoming.name();
    if !becoming.is_possible() {
        warning(format_args!(
            "[server] user: what {name:?} may read and write is not known, only root can become that user: run this as root"
        ));
        return Ok(config);
    }
    // There are no threads yet.
    becoming.become_it_alone()?;
    match Config::load(file) {
        Ok(config) => Ok(config),
        Err(problems) => {
            warning(format_args!(
                "{}: no reload works: {name:?}, who reads it then, finds\n{problems}",
                file.display()
            ));
            Ok(config)
        }
    }
}
