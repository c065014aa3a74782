//! `countersign validate`: whether a catalog is sound, and what it would lack on this machine now.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::bail;

use super::place::local_world;
use crate::engine::Secrets;
use crate::engine::plan::World;
use crate::model::catalog::{Catalog, Probe, StepAction};
use crate::runbook;
use crate::text::visible::visible;

/// Check a catalog: every problem of every file at once.
#[derive(Debug, Clone, clap::Args)]
pub struct ValidateArgs {
    /// The catalog's folder.
    #[arg(value_name = "DIR", default_value = "runbooks")]
    pub dir: PathBuf,
}

/// Checks the catalog. The exit code: 0 it is sound, 1 it would not be loaded.
///
/// # Errors
/// When there is no such folder, or nothing can be printed.
pub fn run(args: ValidateArgs) -> anyhow::Result<u8> {
    validate(&args, &local_world()?, &mut io::stdout().lock(), &mut io::stderr().lock())
}

/// Checks the catalog for a given host, and writes to given places.
///
/// # Errors
/// As [`run`].
pub fn validate(
    args: &ValidateArgs,
    world: &dyn World,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<u8> {
    let dir = args.dir.display();
    match args.dir.metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => bail!("{dir} is not a folder: name the catalog's folder, such as `countersign validate runbooks`"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("there is no folder {dir}: name the catalog's folder, such as `countersign validate runbooks`")
        }
        Err(error) => bail!("{dir} cannot be read: {error}"),
    }
    let catalog = match runbook::load(&args.dir) {
        Ok(loaded) => loaded.catalog,
        Err(problems) => {
            writeln!(err, "{problems}")?;
            return Ok(1);
        }
    };
    writeln!(out, "{dir}: {}; all sound", contents(&catalog))?;
    for warning in Secrets::read(&catalog, &[]).1.into_iter().chain(missing_programs(&catalog, world)) {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(0)
}

/// `4 runbooks, 1 system, 2 services, 1 policy, 3 people, 2 groups, 1 room`, without what there is none of.
fn contents(catalog: &Catalog) -> String {
    let services = catalog.systems.values().map(|system| system.services.len()).sum();
    let counted = [
        (catalog.runbooks.len(), "runbook", "runbooks"),
        (catalog.systems.len(), "system", "systems"),
        (services, "service", "services"),
        (catalog.triggers.len(), "trigger", "triggers"),
        (catalog.policies.len(), "policy", "policies"),
        (catalog.people.len(), "person", "people"),
        (catalog.groups.len(), "group", "groups"),
        (catalog.rotas.len(), "rota", "rotas"),
        (catalog.rooms.len(), "room", "rooms"),
        (catalog.secrets.len(), "secret", "secrets"),
    ];
    let there = counted.into_iter().filter(|(count, ..)| *count > 0);
    let words = there.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }));
    words.collect::<Vec<_>>().join(", ")
}

/// The programs that are not on this host now, and what would be refused because of each.
fn missing_programs<'a>(catalog: &'a Catalog, world: &dyn World) -> Vec<String> {
    let mut users: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut uses = |command: &'a [String], user: String| {
        let program = command.first().map(String::as_str).unwrap_or_default();
        // A script of the catalog was looked at when it was loaded.
        if !program.starts_with("./") && world.program(program).is_none() {
            users.entry(program).or_default().insert(user);
        }
    };
    for runbook in catalog.runbooks.values() {
        for step in &runbook.steps {
            if let StepAction::Run { command, .. } = &step.action {
                uses(command, runbook.name.to_string());
            }
        }
    }
    for service in catalog.systems.values().flat_map(|system| system.services.values()) {
        for check in service.checks.values() {
            if let Probe::Command { command, .. } = &check.probe {
                uses(command, format!("the checks of {}", service.name));
            }
        }
    }
    let (host, search_path) = (visible(&world.host()), world.search_path());
    let refused = |(program, users): (&str, BTreeSet<String>)| {
        let users: Vec<String> = users.into_iter().collect();
        let users = match users.split_last() {
            Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
            _ => users.concat(),
        };
        let place = if program.starts_with('/') { String::new() } else { format!("; looked in {search_path}") };
        format!("`{}` is not a program on {host}{place}. What needs it is refused now: {users}", visible(program))
    };
    users.into_iter().map(refused).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::plan::LocalWorld;

    /// What is printed for the files, the folder's name replaced: the exit code, stdout, stderr.
    fn told(files: &[(&str, &str)], search_path: &[&str]) -> (u8, String, String) {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            std::fs::write(folder.path().join(path), text).expect("written");
        }
        let args = ValidateArgs { dir: folder.path().to_owned() };
        let world =
            LocalWorld { search_path: search_path.iter().map(PathBuf::from).collect(), host: "app-1".to_owned() };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = validate(&args, &world, &mut out, &mut err).expect("an answer");
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).expect("text").replace(&folder.path().display().to_string(), "DIR")
        };
        (code, text(out), text(err))
    }

    const SYSTEM: &str = "system: shop\ntitle: The shop\nenvironment: production\nroom: ops\nmay_run: [group:ops]\n\
        services: {web: {title: Web, checks: {running: {command: [no-such-ctl, status]}}}}\n";
    const ROOMS: &str = "rooms: {ops: {address: 'local:trial:ops'}}\n";
    const PEOPLE: &str = "people: {mei: {accounts: ['local:trial:mei']}}\ngroups: {ops: [mei]}\n";
    const SECRETS: &str = "secrets: {pass: {file: /no/such/file}}\n";
    const LOOK: &str = "runbook: look\ntitle: Look\nsystem: shop\nsteps:\n\
        - {name: Look, run: {command: [sh, -c, id]}, read_only: true}\n\
        - {name: Look again, run: {command: [no-such-ctl, look]}, read_only: true}\n\
        - {name: And again, run: {command: [/no/such/program]}, read_only: true}\n";

    #[test]
    fn a_sound_catalog_is_counted_and_what_it_lacks_here_is_named() {
        let files = [
            ("system.yaml", SYSTEM),
            ("rooms.yaml", ROOMS),
            ("people.yaml", PEOPLE),
            ("secrets.yaml", SECRETS),
            ("look.yaml", LOOK),
        ];
        let (code, out, err) = told(&files, &["/nonexistent", "/bin"]);
        insta::assert_snapshot!(out, @r#"
        DIR: 1 runbook, 1 system, 1 service, 1 person, 1 group, 1 room, 1 secret; all sound
        warning: secret pass: /no/such/file cannot be read: No such file or directory (os error 2)
        warning: `/no/such/program` is not a program on app-1. What needs it is refused now: look
        warning: `no-such-ctl` is not a program on app-1; looked in /nonexistent:/bin. What needs it is refused now: look and the checks of web
        "#);
        assert_eq!((code, err), (0, String::new()));
    }

    #[test]
    fn a_wrong_catalog_is_drawn_on_stderr() {
        let (code, out, err) = told(&[("rooms.yaml", "rooms: {ops: {adress: x}}\n")], &[]);
        assert_eq!((code, out), (1, String::new()));
        insta::assert_snapshot!(err, @r#"
        error: `adress` is not a key that can stand here
         --> rooms.yaml:1:15
          |
        1 | rooms: {ops: {adress: x}}
          |               ^^^^^^ expected `address`
          |
          = help: did you mean `address`?

        1 problem in 1 file; the catalog is not loaded
        "#);
    }

    #[test]
    fn what_is_no_folder_is_told_in_one_sentence() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let world = LocalWorld { search_path: vec![], host: "app-1".to_owned() };
        let said = |dir: &Path| {
            let error = validate(&ValidateArgs { dir: dir.to_owned() }, &world, &mut Vec::new(), &mut Vec::new());
            format!("{:#}", error.expect_err("no folder")).replace(&dir.display().to_string(), "DIR")
        };
        assert_eq!(
            said(Path::new("/no/such/folder")),
            "there is no folder DIR: name the catalog's folder, such as `countersign validate runbooks`"
        );
        assert_eq!(
            said(file.path()),
            "DIR is not a folder: name the catalog's folder, such as `countersign validate runbooks`"
        );
    }
}
