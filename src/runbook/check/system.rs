//! Systems, their services and checks, and what commands of checks and steps share.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::catalog::{Check, EnvEntry, EnvFrom, ExitCodes, Probe, Schedule, Service, System};
use crate::model::id::{CheckName, PersonId, RoomName, SecretName, ServiceName, SystemName};

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Place};
use super::http::Use;
use super::program::{self, Position};
use super::{Checker, DAY, HOUR, Input, Kind, MILLISECOND, MINUTE, SECOND, is_name, not_a_name, template};

/// How long a check may take if its author does not say; never longer than until it is asked again.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How many results in a row make one certain if the author does not say: a single slip wakes nobody.
const FAILS_AFTER: u32 = 2;
/// The greatest number of them.
const MOST_FAILS_AFTER: u32 = 20;

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
        let accountable = raw.accountable.as_ref().map(|person| {
            self.known(input, Kind::Person, person);
            PersonId::new(&person.value)
        });
        let may_run = self.subjects(input, "may_run", &raw.may_run);
        let may_see = self.subjects(input, "may_see", &raw.may_see);
        let may_unstick = self.subjects(input, "may_unstick", &raw.may_unstick);
        let may_resolve = self.subjects(input, "may_resolve", &raw.may_resolve);
        let may_pause = self.subjects(input, "may_pause", &raw.may_pause);
        let incident_channel =
            raw.incident_channel.as_ref().and_then(|raw| self.incident_channel(input, raw.place, &raw.value));
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
            accountable,
            may_run,
            may_see,
            may_unstick,
            may_resolve,
            may_pause,
            incident_channel,
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
        let every = raw.every.as_ref().map(|_| self.duration(input, &raw.every, MINUTE, SECOND..=DAY));
        let schedule = every.map(|every| Schedule {
            every,
            fails_after: self.number(input, raw.fails_after.as_ref(), FAILS_AFTER, 1..=MOST_FAILS_AFTER),
        });
        if let (None, Some(written)) = (&every, &raw.fails_after) {
            let problem = Problem::new(written.place, "`fails_after` counts scheduled results, and `every` is missing");
            self.problem(input, problem.hint("say how often the check is asked by itself: `every: 30s`"));
        }
        let default = every.map_or(CHECK_TIMEOUT, |every| CHECK_TIMEOUT.min(every));
        let timeout = self.duration(input, &raw.timeout, default, MILLISECOND..=HOUR);
        if let (Some(every), Some(written)) = (every, &raw.timeout)
            && timeout > every
        {
            let message = format!(
                "the check is asked every {} and may take {}: it would still be asked when it is due again",
                words::duration(every),
                words::duration(timeout)
            );
            let problem = Problem::new(written.place, message);
            self.problem(input, problem.hint("make `timeout` at most as long as `every`"));
        }
        Check { name: CheckName::new(&name.value), probe: self.probe(input, name, raw), schedule, timeout }
    }

    /// The one way in which a check is asked. What is wrong goes on as a command of no words: nothing runs it.
    fn probe(&mut self, input: &Input, name: &At<String>, raw: &raw::Check) -> Probe {
        let nothing = || Probe::Command { command: Vec::new(), codes: ExitCodes::Plain, env: Vec::new() };
        let of_command = [
            ("codes", raw.codes.as_ref().map(|codes| codes.place)),
            ("env", raw.env.as_ref().and_then(|env| env.first()).map(|entry| entry.place)),
        ];
        if raw.command.is_none() && (raw.http.is_some() || raw.tcp.is_some()) {
            for (key, place) in of_command {
                if let Some(place) = place {
                    let problem = Problem::new(place, format!("`{key}` belongs to `command`, and this runs none"));
                    self.problem(input, problem.hint("leave it out"));
                }
            }
        }
        match (&raw.command, &raw.http, &raw.tcp) {
            (Some(_), None, None) => self.program(input, name, raw),
            (None, Some(ask), None) => self.http(input, ask, Use::Check).map_or_else(nothing, Probe::Http),
            (None, None, Some(address)) => Probe::Tcp(self.tcp(input, address)),
            (command, http, tcp) => {
                let message = match (command, http, tcp) {
                    (None, None, None) => "nothing says how this check is asked",
                    _ => "a check is asked in one way, and this says several",
                };
                let problem = Problem::new(name.place, message);
                self.problem(input, problem.label("expected exactly one of `command`, `http` and `tcp`"));
                nothing()
            }
        }
    }

    fn program(&mut self, input: &Input, name: &At<String>, raw: &raw::Check) -> Probe {
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
        Probe::Command { command: command.into_iter().map(|word| word.value).collect(), codes, env }
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
