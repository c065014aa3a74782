//! Systems, their services and checks, and what commands of checks and steps share.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::catalog::{Check, EnvEntry, EnvFrom, ExitCodes, Probe, Service, System};
use crate::model::id::{CheckName, RoomName, SecretName, ServiceName, SystemName};

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Place};
use super::program::{self, Position};
use super::{Checker, HOUR, Input, Kind, MILLISECOND, is_name, not_a_name, template};

/// How long a check may take if its author does not say.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// A variable that every step has and no catalog names: in it each attempt finds its own place in its run's trace, and a
/// value of the bot's environment would be that of another.
const SET_BY_THE_BOT: &str = "TRACEPARENT";

impl Checker {
    pub(super) fn system(&mut self, input: &Input, raw: &raw::System) {
        let Some(name) = &raw.system else { return };
        self.declare(input, Kind::System, name);
        let title = self.title(input, name.place, &raw.title);
        let hint = "say which: `environment: production`";
        let environment = match self.required(input, name.place, "environment", &raw.environment, hint) {
            None => String::new(),
            Some(environment) => {
                if !is_name(&environment.value) {
                    self.problem(
                        input,
                        not_a_name(environment, "environment").label("expected a word such as `production`"),
                    );
                }
                environment.value.clone()
            }
        };
        let room = self.required(input, name.place, "room", &raw.room, "say where it is talked about: `room: ops`");
        let room = match room {
            None => RoomName::new(""),
            Some(room) => {
                self.known(input, Kind::Room, room);
                RoomName::new(&room.value)
            }
        };
        let may_run = self.subjects(input, "may_run", &raw.may_run);
        let may_see = self.subjects(input, "may_see", &raw.may_see);
        let may_unstick = self.subjects(input, "may_unstick", &raw.may_unstick);
        let hint = "a system has services, and a service has checks";
        let mut services = BTreeMap::new();
        if let Some(written) = self.required(input, name.place, "services", &raw.services, hint) {
            if written.value.0.is_empty() {
                self.problem(input, Problem::new(written.place, "`services` is empty").hint(hint));
            }
            for (name, raw) in &written.value.0 {
                self.declare(input, Kind::Service, name);
                let service = self.service(input, name, raw);
                services.insert(service.name.clone(), service);
            }
        }
        let name = SystemName::new(&name.value);
        let source = input.source.clone();
        let system = System {
            name,
            title,
            environment,
            room,
            may_run,
            may_see,
            may_unstick,
            may_resolve: Vec::new(),
            may_pause: Vec::new(),
            services,
            source,
        };
        self.catalog.systems.entry(system.name.clone()).or_insert(system);
    }

    fn service(&mut self, input: &Input, name: &At<String>, raw: &raw::Service) -> Service {
        let title = self.title(input, name.place, &raw.title);
        let hint = "say how to find out whether it is well: `checks: {running: {command: […]}}`";
        let mut checks = BTreeMap::new();
        if let Some(written) = self.required(input, name.place, "checks", &raw.checks, hint) {
            if written.value.0.is_empty() {
                self.problem(input, Problem::new(written.place, "`checks` is empty").hint(hint));
            }
            for (name, raw) in &written.value.0 {
                if !is_name(&name.value) {
                    self.problem(input, not_a_name(name, "check's name"));
                }
                let check = self.check(input, name, raw);
                checks.insert(check.name.clone(), check);
            }
        }
        Service { name: ServiceName::new(&name.value), title, checks }
    }

    fn check(&mut self, input: &Input, name: &At<String>, raw: &raw::Check) -> Check {
        let command = self.command(input, name.place, &raw.command);
        for word in &command {
            // What is not even a template has been told by `command`.
            if template::parse(&word.value).map_or(true, |pieces| template::is_plain(&pieces)) {
                continue;
            }
            let message = "a check's command is fixed: it holds no template";
            let hint = "a check belongs to one service: write the service's name";
            self.problem(input, Problem::new(word.place, message).hint(hint));
        }
        let codes = match &raw.codes {
            None => ExitCodes::Plain,
            Some(codes) => match codes.value.as_str() {
                "plain" => ExitCodes::Plain,
                "nagios" => ExitCodes::Nagios,
                other => {
                    let problem =
                        Problem::new(codes.place, format!("{} is no meaning of exit codes", words::quoted(other)))
                            .label("expected `plain` (0 is ok, all else critical) or `nagios` (0, 1, 2, 3)")
                            .nearest(other, ["plain", "nagios"]);
                    self.problem(input, problem);
                    ExitCodes::Plain
                }
            },
        };
        let env = self.env(input, raw.env.as_deref().unwrap_or_default());
        let timeout = self.duration(input, &raw.timeout, CHECK_TIMEOUT, MILLISECOND..=HOUR);
        let command = command.into_iter().map(|word| word.value).collect();
        let probe = Probe::Command { command, codes, env };
        Check { name: CheckName::new(&name.value), probe, schedule: None, timeout }
    }

    /// A command: not empty, fit to be executed, its scripts below the catalog's root.
    pub(super) fn command<'a>(
        &mut self,
        input: &Input,
        whose: Place,
        command: &'a Option<At<Vec<At<String>>>>,
    ) -> Vec<At<String>> {
        let hint = "the program and its arguments as a list: `command: [systemctl, status, web]`";
        let command: &'a [At<String>] = self.filled(input, whose, "command", command, hint);
        for (position, word) in command.iter().enumerate() {
            let position = if position == 0 { Position::Program } else { Position::Argument };
            if let Err((message, hint)) = program::word(&self.catalog.root, position, &word.value) {
                let problem = Problem::new(word.place, message);
                self.problem(
                    input,
                    match hint {
                        Some(hint) => problem.hint(hint),
                        None => problem,
                    },
                );
            }
        }
        command.to_vec()
    }

    /// Environment variables: their names, and the secrets behind them.
    pub(super) fn env(&mut self, input: &Input, written: &[At<raw::Env>]) -> Vec<EnvEntry> {
        let mut entries: Vec<EnvEntry> = Vec::new();
        for entry in written {
            let (name, from) = match &entry.value {
                raw::Env::Name(name) => (At { value: name.clone(), place: entry.place }, EnvFrom::Bot),
                raw::Env::From(pairs) => {
                    let [(name, source)] = &pairs.0[..] else {
                        let message = "one entry names one variable";
                        let problem = Problem::new(entry.place, message).label("expected NAME or {NAME: {secret: …}}");
                        self.problem(input, problem);
                        continue;
                    };
                    let hint = "say which: `{NAME: {secret: the-secret}}`";
                    let Some(secret) = self.required(input, name.place, "secret", &source.secret, hint) else {
                        continue;
                    };
                    self.known(input, Kind::Secret, secret);
                    (name.clone(), EnvFrom::Secret(SecretName::new(&secret.value)))
                }
            };
            self.variable(input, &name);
            if name.value == SET_BY_THE_BOT {
                let message = format!("the bot sets {} for every step itself", words::quoted(SET_BY_THE_BOT));
                let hint = "leave it out: the step finds in it the trace of the run that it belongs to";
                self.problem(input, Problem::new(name.place, message).hint(hint));
            }
            if entries.iter().any(|other| other.name == name.value) {
                let message = format!("{} is set twice", words::quoted(&name.value));
                self.problem(input, Problem::new(name.place, message).hint("keep one of the two"));
            } else {
                entries.push(EnvEntry { name: name.value, from });
            }
        }
        entries
    }
}
