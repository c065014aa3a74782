//! What the trial's page offers for trying to cheat, done: a service taken down, a runbook's file changed, the bot killed.
//!
//! All of it acts on the trial's own world from outside the bot: the demo through its own door, as `demo-ctl` does, the
//! file as an editor would, the process as `kill -9` would.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt as _;

use super::up::DEMO;
use crate::demo::{CtlArgs, Deed, ctl};
use crate::flow::App;
use crate::model::catalog::{Catalog, Probe};
use crate::model::id::{RunbookName, ServiceName};
use crate::web;

/// The runbook whose file is changed.
const EDITED: &str = "start-service";

/// What is changed in it, and to what: enough that a plan made of it reads otherwise, and harms nothing.
const CHANGE: (&str, &str) = ("timeout: 60s", "timeout: 90s");

/// What the page may do to the world of a trial, whose demo, if it has one, stands in this directory.
pub(super) fn trial(app: &Arc<App>, demo: Option<&Path>) -> web::Trial {
    let dir = demo.map(Path::to_owned);
    let edited = Arc::clone(app);
    web::Trial {
        services: if demo.is_some() { demo_services(&app.in_use().catalog) } else { Vec::new() },
        break_service: Arc::new(move |service| break_service(dir.clone(), service).boxed()),
        edit_runbook: Arc::new(move || {
            let catalog = Arc::clone(&edited.in_use().catalog);
            edit_runbook(&catalog).map_err(|error| format!("{error:#}"))
        }),
        kill: Arc::new(|| {
            tracing::warn!("killed by the trial's page");
            // Nothing after this runs, unless the system refuses: then the bot lives on, as the log says.
            if let Err(error) = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
            {
                tracing::error!(%error, "this process cannot be killed");
            }
        }),
    }
}

/// The services that the demo plays: those whose checks ask it.
fn demo_services(catalog: &Catalog) -> Vec<ServiceName> {
    let asks_demo = |probe: &Probe| match probe {
        Probe::Command { env, .. } => env.iter().any(|entry| entry.name == DEMO),
        Probe::Http(_) | Probe::Tcp(_) => false,
    };
    let services = catalog.systems.values().flat_map(|system| system.services.values());
    services
        .filter(|service| service.checks.values().any(|check| asks_demo(&check.probe)))
        .map(|service| service.name.clone())
        .collect()
}

async fn break_service(dir: Option<PathBuf>, service: ServiceName) -> Result<String, String> {
    let deed = Deed::Kill { name: service.to_string() };
    let outcome = ctl(CtlArgs { dir, deed }).await;
    match outcome.code {
        0 => Ok(format!("{}. Nobody told the bot: its checks have to notice.", outcome.line)),
        _ => Err(outcome.line),
    }
}

/// Changes the runbook's file, or puts it back: whichever of the two texts stands there becomes the other.
fn edit_runbook(catalog: &Catalog) -> anyhow::Result<String> {
    let runbook = catalog.runbooks.get(&RunbookName::new(EDITED));
    let runbook = runbook.with_context(|| format!("The catalog has no runbook {EDITED}"))?;
    let path = catalog.root.join(&runbook.source.path);
    let name = path.display();
    let text = std::fs::read_to_string(&path).with_context(|| format!("{name} cannot be read"))?;
    let (was, becomes) = CHANGE;
    let (from, to) = if text.contains(was) { (was, becomes) } else { (becomes, was) };
    anyhow::ensure!(text.contains(from), "{name} holds neither `{was}` nor `{becomes}`, so there is nothing to change");
    // Appears whole: whoever reads the catalog meanwhile sees the old file or the new one. A hidden file is not read.
    let draft = path.with_file_name(format!(".{EDITED}.{}", std::process::id()));
    let mode = std::fs::metadata(&path).with_context(|| format!("{name} cannot be read"))?.permissions();
    let written = std::fs::write(&draft, text.replacen(from, to, 1))
        .and_then(|()| std::fs::set_permissions(&draft, mode))
        .and_then(|()| std::fs::rename(&draft, &path));
    if let Err(error) = written {
        // Only tidies up after what has failed already.
        let _ = std::fs::remove_file(&draft);
        return Err(error).with_context(|| format!("{name} cannot be changed"));
    }
    let again = if to == becomes { "Press again to put it back." } else { "It is as it was." };
    Ok(format!("{name} says `{to}` instead of `{from}` now. What was asked before stays as it was asked. {again}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runbook_is_changed_and_put_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks");
        let mut loaded = crate::runbook::load(&shipped).expect("the shipped catalog").catalog;
        let source = &loaded.runbooks[&RunbookName::new(EDITED)].source;
        let before = std::fs::read_to_string(shipped.join(&source.path)).expect("a file");
        let copy = dir.path().join(&source.path);
        std::fs::write(&copy, &before).expect("a file");
        loaded.root = dir.path().to_owned();
        let said = edit_runbook(&loaded).expect("changed");
        assert!(
            said.contains("`timeout: 90s` instead of `timeout: 60s`") && said.ends_with("Press again to put it back.")
        );
        assert_ne!(std::fs::read_to_string(&copy).expect("a file"), before);
        assert!(edit_runbook(&loaded).expect("put back").ends_with("It is as it was."));
        assert_eq!(std::fs::read_to_string(&copy).expect("a file"), before);
        std::fs::write(&copy, "runbook: start-service\n").expect("a file");
        assert!(format!("{:#}", edit_runbook(&loaded).expect_err("nothing to change")).contains("holds neither"));
        assert_eq!(std::fs::read_dir(dir.path()).expect("a directory").count(), 1, "no draft is left");
    }
}
