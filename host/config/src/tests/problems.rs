//! Bad texts, and every word that is said of them.

use super::*;

/// Each text stands in front of what it needs besides; lines count in it alone.
#[test]
fn each_problem_has_its_place_and_its_mend() {
    let table: &[(&str, &[&str], &[&str])] = &[
        // Engines.
        (
            "[server]\nnode = 'a b'\nholds = 'db'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:8: `node` in [server] is `a b`\n  write at most 64 letters, digits, `-`, `_` or `.`, a letter or digit first",
                "3:9: `holds` in [server] names `db`, and there is no such engine\n  add a section [engine.db]",
            ],
        ),
        (
            "[server]\nholds = 'db'\n[engine.db]\nkind = 'postgres'\nurl = 'postgresql://r@h/d'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:9: `holds` in [server] names an engine, and this server has no name in it\n  add: node = \"NAME\", which is different on each server",
            ],
        ),
        (
            "[server]\nnode = 'a'\nholds = 'bd'\n[engine.db]\nkind = 'postgres'\nurl = 'postgresql://r@h/d'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "3:9: `holds` in [server] names `bd`, and there is no such engine\n  did you mean `db`?",
            ],
        ),
        (
            "[engine.memory]\nkind = 'embedded'\ndirectory = 'x'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "1:9: the name `memory` is reserved: in `holds` it is this process alone\n  give it another name",
            ],
        ),
        (
            "[engine.e]\nkind = 'embedded'\nurl = 'postgresql://r@h/d'\n[engine.f]\nkind = 'postgres'\ndirectory = 'x'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "1:9: `directory` is missing in [engine.e]\n  add: directory = \"/var/lib/restante/engine\"",
                "3:7: `url` in [engine.e] is no key of an engine of this kind\n  remove it",
                "4:9: `url` is missing in [engine.f]\n  add: url = \"postgresql://HOST/DATABASE?user=ROLE\"",
                "6:13: `directory` in [engine.f] is no key of an engine of this kind\n  remove it",
            ],
        ),
        (
            "[engine.e]\nkind = 'postgres'\nurl = 'postgresql://r:secret@h/d'\n[engine.f]\nkind = 'postgres'\nurl = 'postgresql://h/d'\n[engine.g]\nkind = 'postgres'\nurl = 'host=h password=secret'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "3:7: `url` in [engine.e] has a password in it\n  write the password into a file, and name that with `password-file`",
                "6:7: `url` in [engine.f] is `postgresql://h/d`, which names no role\n  write \"postgresql://HOST/DATABASE?user=ROLE\"",
                "9:7: `url` in [engine.g] is no URL of a database\n  write \"postgresql://HOST/DATABASE?user=ROLE\"",
            ],
        ),
        // Databases.
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.databases = ['users']\n",
            &[LISTENER, TENANT],
            &[
                "3:21: `databases` in [plugin.p.grants] names `users`, and there is no such database\n  add a section [database.users]",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.databases = ['user', 'a', 'users', 'a', 'x y', 1, 'users', 'mail']\n\
             [database.users]\nkind = 'sqlite'\nfile = 'u'\n[database.a]\nkind = 'postgres'\nurl = 'postgresql://r@h/d'\n",
            &[LISTENER, TENANT],
            &[
                "3:21: `databases` in [plugin.p.grants] names `user`, and there is no such database\n  did you mean `users`?",
                "3:43: an entry of `databases` in [plugin.p.grants] is `a`, which is granted already\n  name each database once",
                "3:48: an entry of `databases` in [plugin.p.grants] is `x y`\n  write the NAME of a section [database.NAME]",
                "3:55: an entry of `databases` in [plugin.p.grants] is an integer\n  write the name of a database, in quotes",
                "3:58: an entry of `databases` in [plugin.p.grants] is `users`, which is granted already\n  name each database once",
                "3:67: `databases` in [plugin.p.grants] names `mail`, and there is no such database\n  known here: `users`, `a`",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.databases = 'users'\n[database.users]\nkind = 'mysql'\n",
            &[LISTENER, TENANT],
            &[
                "3:20: `databases` in [plugin.p.grants] is a string\n  write an array of names: [\"users\"], for [database.users]",
                "5:8: `kind` in [database.users] is `mysql`\n  write one of `postgres`, `sqlite`",
            ],
        ),
        (
            "[database.s]\nkind = 'sqlite'\nurl = 'postgresql://r@h/d'\n[database.p]\nkind = 'postgres'\nfile = 'x'\n[database.n]\nfile = ''\n[database.'a b']\nkind = 'sqlite'\nfile = 'x'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "1:11: `file` is missing in [database.s]\n  add: file = \"/srv/users.sqlite\"",
                "3:7: `url` in [database.s] is no key of a database of this kind\n  remove it",
                "4:11: `url` is missing in [database.p]\n  add: url = \"postgresql://HOST/DATABASE?user=ROLE\"",
                "6:8: `file` in [database.p] is no key of a database of this kind\n  remove it",
                "7:11: `kind` is missing in [database.n]\n  add: kind = \"postgres\" (or \"sqlite\")",
                "8:8: `file` in [database.n] is empty\n  write a path",
                "9:11: `a b` is no name for a database\n  write [database.NAME] with at most 64 letters, digits, `-`, `_` or `.`, a letter or digit first",
            ],
        ),
        (
            "[database.d]\nkind = 'postgres'\nurl = 'postgresql://r:secret@h/d'\n[database.e]\nkind = 'postgres'\nurl = 'postgresql://h/d'\n[database.f]\nkind = 'postgres'\nurl = 'host=h password=secret'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "3:7: `url` in [database.d] has a password in it\n  write the password into a file, and name that with `password-file`",
                "6:7: `url` in [database.e] is `postgresql://h/d`, which names no role\n  write \"postgresql://HOST/DATABASE?user=ROLE\"",
                "9:7: `url` in [database.f] is no URL of a database\n  write \"postgresql://HOST/DATABASE?user=ROLE\"",
            ],
        ),
        // Keys.
        (
            "[server]\nstate_dir = '/x'\n",
            &[LISTENER, PLUGIN, TENANT],
            &["2:1: unknown key `state_dir` in [server]\n  did you mean `state-dir`?"],
        ),
        (
            "[server]\nzzz = 1\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:1: unknown key `zzz` in [server]\n  known here: `hostname`, `state-dir`, `certificate`, `key`, `admin`, `admin-token-file`, `user`, `group`, `compiler-user`, `node`, `holds`, `watch`, `implementation`, `scram-iterations`, `mock-secret-file`, `utf8`, `signature-keys`, `signed`, `oauth-scope`, `oauth-configuration`, `log`, `limits`",
            ],
        ),
        (
            "[listener.l]\naddress = '[::]:110'\ntls = 'off'\ntls-minimum = '1.1'\n",
            &[PLUGIN, TENANT],
            &[
                "4:15: `tls-minimum` in [listener.l] is `1.1`: RFC 8996 forbids versions before TLS 1.2, and this server does not speak them\n  write \"1.2\"; for clients without it, put a TLS proxy that speaks older versions (HAProxy, stunnel) in front of a listener with tls = \"off\" and `proxy-protocol-from`",
            ],
        ),
        (
            "[listener.l]\naddress = '[::]:110'\ntls = 'off'\ntls-minimum = 'TLSv1'\n",
            &[PLUGIN, TENANT],
            &[
                "4:15: `tls-minimum` in [listener.l] is `TLSv1`: RFC 8996 forbids versions before TLS 1.2, and this server does not speak them\n  write \"1.2\"; for clients without it, put a TLS proxy that speaks older versions (HAProxy, stunnel) in front of a listener with tls = \"off\" and `proxy-protocol-from`",
            ],
        ),
        (
            "[listener.l]\naddress = '[::]:110'\ntls = 'off'\ntls-minimum = 'TLSv1.3'\n",
            &[PLUGIN, TENANT],
            &[
                "4:15: `tls-minimum` in [listener.l] is `TLSv1.3`\n  write \"1.2\" or \"1.3\", in quotes",
            ],
        ),
        (
            "[tenants.x]\n",
            &[LISTENER, PLUGIN, TENANT],
            &["1:2: unknown key `tenants` in the file\n  did you mean `tenant`?"],
        ),
        (
            "[listener.a]\nadress = '[::]:110'\ntls = 'off'\n",
            &[PLUGIN, TENANT],
            &["2:1: unknown key `adress` in [listener.a]\n  did you mean `address`?"],
        ),
        (
            "\n  [listener.a]\n",
            &[PLUGIN, TENANT],
            &[
                "2:13: `address` is missing in [listener.a]\n  add: address = \"[::]:110\"",
                "2:13: `tls` is missing in [listener.a]\n  add: tls = \"implicit\" (or \"starttls\", or \"off\")",
            ],
        ),
        (
            "\u{feff}[servr]\n",
            &[LISTENER, PLUGIN, TENANT],
            &["1:2: unknown key `servr` in the file\n  did you mean `server`?"],
        ),
        (
            "[server]\n'ä\\u00e9' = 1; 'x\n",
            &[],
            &[
                "2:13: not TOML: string values must be quoted, expected literal string\n  write text in double quotes: key = \"value\"",
            ],
        ),
        // Types and values.
        (
            "server = 1\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "1:10: `server` in the file is an integer\n  write a table: a line [server] with its keys below",
            ],
        ),
        (
            "[server]\nhostname = 'a..b'\nimplementation = 'yes'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:12: `hostname` in [server] is `a..b`\n  write a domain name such as \"mail.example.org\"",
                "3:18: `implementation` in [server] is a string\n  write true or false",
            ],
        ),
        (
            "[server.log]\nformat = 'jsn'\nfilter = 'info,a=b=c'\nuser-names = 'knwon'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:10: `format` in [server.log] is `jsn`\n  did you mean `json`?",
                "3:10: `filter` in [server.log] is `info,a=b=c`, which is no filter\n  write a level (error, warn, info, debug, trace), or \"info,restante=debug\"",
                "4:14: `user-names` in [server.log] is `knwon`\n  did you mean `known`?",
            ],
        ),
        (
            "[server.limits]\nautologout = '9m'\nlogin-timeout = 180\nmax-line = 8192\nwrite-timeout = '5 m'\nfailure-delay = true\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:14: `autologout` in [server.limits] is 9m\n  write at least \"10m\" and at most \"7d\" (RFC 1939 section 3)",
                "3:17: `login-timeout` in [server.limits] has no unit\n  say the unit: \"180s\" for seconds, or ms, m, h, d",
                "4:12: `max-line` in [server.limits] has no unit\n  say the unit: \"8192B\" for octets, or KiB, MiB, GiB",
                "5:17: `write-timeout` in [server.limits] is not a duration\n  write a whole number and its unit: \"500ms\", \"30s\", \"10m\", \"2h\" or \"7d\"",
                "6:17: `failure-delay` in [server.limits] is a boolean\n  write a duration such as \"30s\" or \"10m\"",
            ],
        ),
        (
            "[server.limits]\nmax-line = '254B'\nconnections = 0\ninstances = -1\nlogin-failures = 99999999999999999999\nmax-unauthenticated = 10001\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:12: `max-line` in [server.limits] is 254B\n  write at least \"255B\" and at most \"1MiB\" (RFC 2449 section 4)",
                "3:15: `connections` in [server.limits] is `0`\n  write a whole number from 1 to 10000000",
                "4:13: `instances` in [server.limits] is `-1`\n  write a whole number from 1 to 10000",
                "5:18: `login-failures` in [server.limits] is `99999999999999999999`\n  write a whole number from 1 to 10000000",
                "6:23: `max-unauthenticated` in [server.limits] is 10001, more than `connections` (10000)\n  write at most as many",
            ],
        ),
        (
            "[server.limits]\nconnections-per-address = 0\nproxy-timeout = '2m'\nfailure-delay = '5s'\nmax-failure-delay = '4s'\nfailure-decay = '0s'\nconnections-per-netwrk = 1\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:27: `connections-per-address` in [server.limits] is `0`\n  write a whole number from 1 to 10000000",
                "3:17: `proxy-timeout` in [server.limits] is 2m\n  write at least \"1s\" and at most \"1m\"",
                "5:21: `max-failure-delay` in [server.limits] is less than `failure-delay` (5s)\n  write at least as much",
                "6:17: `failure-decay` in [server.limits] is 0ms\n  write at least \"1s\" and at most \"1d\"",
                "7:1: unknown key `connections-per-netwrk` in [server.limits]\n  did you mean `connections-per-network`?",
            ],
        ),
        (
            "[tenant.u]\nauthenticators = ['p']\nstore = 'p'\ndomains = ['u.example']\ndefault-domain = 'v.example'\nexpire-max-share = '0%'\nwhen-in-use = 'kick'\n[tenant.v]\nauthenticators = ['p']\nstore = 'p'\ndefault-domain = 'U.example'\nserver-names = ['v.example']\n[tenant.w]\nauthenticators = ['p']\nstore = 'p'\nserver-names = ['w.example']\ndefault-domain = 'a b'\nexpire-max-share = 90\n",
            &[LISTENER, PLUGIN],
            &[
                "5:18: `default-domain` in [tenant.u] is `v.example`, which is not in `domains`\n  write one of `domains`, or add it there",
                "6:20: `expire-max-share` in [tenant.u] is `0%`\n  write a whole number of percent, \"1%\" to \"100%\"",
                "7:15: `when-in-use` in [tenant.u] is `kick`\n  write one of `refuse`, `take-over`",
                "11:18: `default-domain` of [tenant.v] is a domain of [tenant.u]\n  write a domain of its own",
                "17:18: `default-domain` in [tenant.w] is `a b`, which is no domain name\n  write \"example.org\", as it stands in the DNS",
                "18:20: `expire-max-share` in [tenant.w] is an integer\n  write a share such as \"90%\"",
            ],
        ),
        // What had another name before.
        (
            "[server.limits]\nline = '8KiB'\nunauthenticated = 9\nlongest-failure-delay = '9s'\n[tenant.u]\nauthenticators = ['p']\nstore = 'p'\ndomains = ['u.example']\n[tenant.u.limits]\nlogins-a-minute = 1\nguest-cpu-a-minute = '1s'\nhost-call-octets-a-minute = '1MiB'\n",
            &[LISTENER, PLUGIN],
            &[
                "2:1: `line` in [server.limits] has another name now\n  write `max-line`",
                "3:1: `unauthenticated` in [server.limits] has another name now\n  write `max-unauthenticated`",
                "4:1: `longest-failure-delay` in [server.limits] has another name now\n  write `max-failure-delay`",
                "10:1: `logins-a-minute` in [tenant.u.limits] has another name now\n  write `logins-per-minute`",
                "11:1: `guest-cpu-a-minute` in [tenant.u.limits] has another name now\n  write `guest-cpu-per-minute`",
                "12:1: `host-call-octets-a-minute` in [tenant.u.limits] has another name now\n  write `host-call-octets-per-minute`",
            ],
        ),
        // Listeners and certificates.
        (
            "[listener.a]\naddress = '127.0.0.1:1'\ntls = 'off'\nproxy-protocol-from = ['10.0.0.1/8', '10.0.0.0/33', 'proxy.example', 5, '::ffff:10.0.0.0/104', '']\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "4:24: `10.0.0.1/8` in `proxy-protocol-from` in [listener.a] is no network\n  write \"10.0.0.1\" or \"10.0.0.0/8\"",
                "4:38: `10.0.0.0/33` in `proxy-protocol-from` in [listener.a] is no network\n  write addresses and networks: [\"10.0.0.0/8\", \"::1\"]",
                "4:53: `proxy.example` in `proxy-protocol-from` in [listener.a] is no network\n  write addresses and networks: [\"10.0.0.0/8\", \"::1\"]",
                "4:70: an entry of `proxy-protocol-from` in [listener.a] is an integer\n  write a string",
                "4:73: `::ffff:10.0.0.0/104` in `proxy-protocol-from` in [listener.a] is no network\n  write it as IPv4: \"10.0.0.0/8\"",
                "4:96: `` in `proxy-protocol-from` in [listener.a] is no network\n  write addresses and networks: [\"10.0.0.0/8\", \"::1\"]",
            ],
        ),
        (
            "",
            &[PLUGIN, TENANT],
            &[
                "there is no listener\n  add a section: [listener.pop3s] with address = \"[::]:995\" and tls = \"implicit\"",
            ],
        ),
        (
            "[[listener]]\naddress = 'x'\n",
            &[PLUGIN, TENANT],
            &[
                "1:1: `listener` in the file is an array\n  write a table for each: a line [listener.NAME] with its keys below",
                "there is no listener\n  add a section: [listener.pop3s] with address = \"[::]:995\" and tls = \"implicit\"",
            ],
        ),
        (
            "[listener.'../x']\naddress = 'localhost:110'\ntls = 'ssl'\n",
            &[PLUGIN, TENANT],
            &[
                "1:11: `../x` is no name for a listener\n  write [listener.NAME] with at most 64 letters, digits, `-`, `_` or `.`, a letter or digit first",
                "2:11: `address` in [listener.../x] is `localhost:110`\n  write an IP address and a port: \"[::]:110\" (\"[::]\" is every address, \"127.0.0.1\" this machine alone)",
                "3:7: `tls` in [listener.../x] is `ssl`\n  write one of `off`, `starttls`, `implicit`",
            ],
        ),
        (
            "[listener.a]\naddress = '0.0.0.0:1110'\ntls = 'off'\n[listener.b]\naddress = '[::1]:1110'\ntls = 'off'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "8:11: [listener.l] wants 127.0.0.1:1110, which [listener.a] (line 2) takes with 0.0.0.0:1110\n  give each its own address or port",
            ],
        ),
        (
            "[listener.a]\naddress = '[::]:110'\ntls = 'starttls'\n[listener.b]\naddress = '[::]:995'\ntls = 'implicit'\n",
            &[PLUGIN, TENANT],
            &[
                "3:7: [listener.a] speaks TLS, and there is no certificate\n  add `certificate` and `key` to [server], or write tls = \"off\"",
                "6:7: [listener.b] speaks TLS, and there is no certificate\n  add `certificate` and `key` to [server], or write tls = \"off\"",
            ],
        ),
        (
            "[server]\ncertificate = '/c'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:15: `certificate` in [server] has no `key` beside it\n  add: key = \"/path/to/key.pem\"",
            ],
        ),
        (
            "[server]\nkey = ''\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "2:7: `key` in [server] has no `certificate` beside it\n  add: certificate = \"/path/to/certificate.pem\"",
                "2:7: `key` in [server] is empty\n  write a path",
            ],
        ),
        // Plugins.
        (
            "[plugin.p]\ncomponent = 'maildir'\nsha256 = 'abc'\n",
            &[LISTENER, TENANT],
            &[
                "2:13: `component` in [plugin.p] is `maildir`\n  write `builtin:maildir` for a built-in component, or a path with a `/` or a `.` in it",
                "3:10: `sha256` in [plugin.p] is no SHA-256 digest\n  write 64 hex digits, as `sha256sum FILE` prints them",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:'\n[plugin.p.settings]\nx.y = 1\nd = 2024-01-01\nn = 99999999999999999999\nl = [[]]\n",
            &[LISTENER, TENANT],
            &[
                "2:13: `component` in [plugin.p] is `builtin:`\n  write the name of a built-in component: \"builtin:maildir\"",
                "4:1: `x` in [plugin.p.settings] is a table\n  write plain values; a dot in a setting's name wants quotes: \"a.b\" = 1",
                "5:5: `d` in [plugin.p.settings] is a date\n  write it in quotes",
                "6:5: `n` in [plugin.p.settings] is too large a number\n  write it in quotes",
                "7:6: an entry of `l` in [plugin.p.settings] is an array in an array\n  write one array of strings",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\n[plugin.p.grants]\nmaildrop = '/m/{usr}'\ndirectories = [\n  { host = '/a', guest = '/a/../b', acces = 'read' },\n  { host = '/a', guest = '/maildrop/x' },\n  { host = '/a', guest = '/x' },\n  { host = '/b', guest = '/x', access = 'rw' },\n  7,\n  {},\n]\n",
            &[LISTENER, TENANT],
            &[
                "4:12: `maildrop` in [plugin.p.grants] has an unknown placeholder `usr`\n  did you mean `user`?",
                "6:26: `guest` in an entry of `directories` in [plugin.p.grants] is `/a/../b`\n  write an absolute path without `.`, `..` and `//`, such as \"/users\"",
                "6:37: unknown key `acces` in an entry of `directories` in [plugin.p.grants]\n  did you mean `access`?",
                "7:26: `guest` in an entry of `directories` in [plugin.p.grants] is `/maildrop/x`\n  choose another path: that one belongs to the `maildrop` grant",
                "9:3: an entry of `directories` in [plugin.p.grants] grants `/x` a second time\n  give each directory a guest path of its own",
                "9:41: `access` in an entry of `directories` in [plugin.p.grants] is `rw`\n  write one of `read`, `read-write`",
                "10:3: an entry of `directories` in [plugin.p.grants] is an integer\n  write { host = \"/srv/x\", guest = \"/x\", access = \"read\" }",
                "11:3: `host` is missing in an entry of `directories` in [plugin.p.grants]\n  add: host = \"/srv/x\", a directory of this machine",
                "11:3: `guest` is missing in an entry of `directories` in [plugin.p.grants]\n  add: guest = \"/x\", its path in the plugin",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.maildrop = '/m/{user'\nlimits.memory = '5GiB'\nlimits.cpu-time = '0s'\n",
            &[LISTENER, TENANT],
            &[
                "3:19: `maildrop` in [plugin.p.grants] has an unbalanced `{`\n  close each `{name}`; for a brace itself write `{{`",
                "4:17: `memory` in [plugin.p.limits] is 5GiB\n  write at least \"64KiB\" and at most \"1GiB\"",
                "5:19: `cpu-time` in [plugin.p.limits] is 0ms\n  write at least \"1ms\" and at most \"1h\"",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\n[plugin.p.grants]\ncreate-maildrop = true\nfollow-links = true\nmaildrop-owner = 'any'\nmissing-maildrop = 'empty'\nmaildrop-marker = 'm'\n",
            &[LISTENER, TENANT],
            &[
                "4:19: `create-maildrop` in [plugin.p.grants] stands without `maildrop`\n  grant the maildrop: maildrop = \"/var/mail/{domain}/{local}/Maildir\"",
                "5:16: `follow-links` in [plugin.p.grants] stands without `maildrop`\n  grant the maildrop: maildrop = \"/var/mail/{domain}/{local}/Maildir\"",
                "6:18: `maildrop-owner` in [plugin.p.grants] stands without `maildrop`\n  grant the maildrop: maildrop = \"/var/mail/{domain}/{local}/Maildir\"",
                "7:20: `missing-maildrop` in [plugin.p.grants] stands without `maildrop`\n  grant the maildrop: maildrop = \"/var/mail/{domain}/{local}/Maildir\"",
                "8:19: `maildrop-marker` in [plugin.p.grants] stands without `maildrop`\n  grant the maildrop: maildrop = \"/var/mail/{domain}/{local}/Maildir\"",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\n[plugin.p.grants]\nmaildrop = '/m/{user}'\nmaildrop-marker = '../m'\nmissing-maildrop = 'create'\n",
            &[LISTENER, TENANT],
            &[
                "5:19: `maildrop-marker` in [plugin.p.grants] is `../m`\n  write the name of a file in the fixed part of `maildrop`: \".mounted\"",
                "6:20: `missing-maildrop` in [plugin.p.grants] is `create`\n  write one of `refuse`, `empty`",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.maildrop = '/m/{user}'\ngrants.follow-links = 'yes'\ngrants.maildrop-owner = '1000'\n",
            &[LISTENER, TENANT],
            &[
                "4:23: `follow-links` in [plugin.p.grants] is a string\n  write true or false",
                "5:25: `maildrop-owner` in [plugin.p.grants] is `1000`\n  write the name of a user, a number without quotes, or \"any\"",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants = { maildrop = '/m/{user}', maildrop-owner = 4294967295 }\n",
            &[LISTENER, TENANT],
            &[
                "3:53: `maildrop-owner` in [plugin.p.grants] is `4294967295`\n  write a whole number from 0 to 4294967294",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.maildrop = '../{user}'\n",
            &[LISTENER, TENANT],
            &[
                "3:19: `maildrop` in [plugin.p.grants] is no path: the path holds `..` as a component\n  write the path out, without `.` and `..`",
            ],
        ),
        // Maildrops in engines.
        (
            "[plugin.p]\ncomponent = 'builtin:p'\n[plugin.p.grants]\nmaildrop = 'engine:mial/{user}'\n[engine.mail]\nkind = 'embedded'\ndirectory = 'x'\n",
            &[LISTENER, TENANT],
            &[
                "4:12: `maildrop` in [plugin.p.grants] names `mial`, and there is no such engine\n  did you mean `mail`?",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.maildrop = 'engine:mail/{user}'\n",
            &[LISTENER, TENANT],
            &[
                "3:19: `maildrop` in [plugin.p.grants] names `mail`, and there is no such engine\n  add a section [engine.mail]",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.maildrop = 'engine:mail/{user}'\n[engine.mail]\nkind = 'postgres'\nurl = 'postgresql://r@h/d'\n",
            &[LISTENER, TENANT],
            &[
                "3:19: `maildrop` in [plugin.p.grants] names the engine `mail`, which servers share, and this server has no name among them\n  add to [server]: node = \"NAME\", which is different on each server",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.maildrop = 'engine:a b/{user}'\n[plugin.q]\ncomponent = 'builtin:q'\ngrants.maildrop = 'engine:e/'\n[plugin.r]\ncomponent = 'builtin:r'\ngrants.maildrop = 'engine:e/../{usr}'\n[engine.e]\nkind = 'embedded'\ndirectory = 'x'\n",
            &[LISTENER, TENANT],
            &[
                "3:19: `maildrop` in [plugin.p.grants] names the engine `a b`\n  write \"engine:NAME/{domain}/{local}\", for a section [engine.NAME]",
                "6:19: `maildrop` in [plugin.q.grants] names an engine and no maildrop in it\n  write \"engine:NAME/{domain}/{local}\", for a section [engine.NAME]",
                "9:19: `maildrop` in [plugin.r.grants] has an unknown placeholder `usr`\n  did you mean `user`?",
            ],
        ),
        (
            "[plugin.p]\ncomponent = 'builtin:p'\n[plugin.p.grants]\nmaildrop = 'engine:e/{user}'\ncreate-maildrop = true\nfollow-links = true\nmaildrop-owner = 'any'\nmissing-maildrop = 'empty'\nmaildrop-marker = 'm'\n[engine.e]\nkind = 'embedded'\ndirectory = 'x'\n",
            &[LISTENER, TENANT],
            &[
                "5:19: `create-maildrop` in [plugin.p.grants] is for maildrops in directories, and `maildrop` names an engine\n  remove it",
                "6:16: `follow-links` in [plugin.p.grants] is for maildrops in directories, and `maildrop` names an engine\n  remove it",
                "7:18: `maildrop-owner` in [plugin.p.grants] is for maildrops in directories, and `maildrop` names an engine\n  remove it",
                "8:20: `missing-maildrop` in [plugin.p.grants] is for maildrops in directories, and `maildrop` names an engine\n  remove it",
                "9:19: `maildrop-marker` in [plugin.p.grants] is for maildrops in directories, and `maildrop` names an engine\n  remove it",
            ],
        ),
        // Tenants.
        (
            "",
            &[LISTENER],
            &[
                "there is no tenant\n  add a section: [tenant.NAME] with authenticators = [\"…\"] and store = \"…\"",
            ],
        ),
        (
            "[tenant.a]\nauthenticators = ['users', 'q', 'q']\nstore = 'p'\nfilters = 'p'\nplaintext-login = true\n",
            &[LISTENER, PLUGIN],
            &[
                "2:19: there is no plugin `users`\n  known here: `p`",
                "2:28: there is no plugin `q`\n  did you mean `p`?",
                "2:33: `q` stands twice in `authenticators` in [tenant.a]\n  name each plugin once",
                "2:33: there is no plugin `q`\n  did you mean `p`?",
                "4:11: `filters` in [tenant.a] is a string\n  write [\"NAME\"], naming plugins, or [\"NAME\", { plugin = \"NAME\", shadow = true }]",
                "5:19: `plaintext-login` in [tenant.a] is a boolean\n  write one of `loopback`, `always`, `never`",
            ],
        ),
        (
            "[tenant.a]\nauthenticators = []\n",
            &[LISTENER],
            &[
                "1:9: `store` is missing in [tenant.a]\n  add: store = \"NAME\", naming a plugin",
                "2:18: `authenticators` in [tenant.a] names nobody\n  name at least one plugin that is no shadow, or nobody can log in",
            ],
        ),
        (
            "[tenant.a]\nauthenticators = ['x']\nstore = 'x'\n",
            &[LISTENER],
            &[
                "2:19: there is no plugin `x`\n  add a section: [plugin.NAME] with component = \"builtin:maildir\"",
                "3:9: there is no plugin `x`\n  add a section: [plugin.NAME] with component = \"builtin:maildir\"",
            ],
        ),
        (
            "[tenant.a]\ndomains = ['A.example', 'a.example']\nauthenticators = ['p']\nstore = 'p'\n[tenant.b]\ndomains = ['a.EXAMPLE', 'bü.de', 'x y']\nserver-names = ['*.x.example', 'a.*.example']\nauthenticators = ['p']\nstore = 'p'\n[tenant.c]\nserver-names = ['*.X.example']\nauthenticators = ['p']\nstore = 'p'\n",
            &[LISTENER, PLUGIN],
            &[
                "2:25: the domain `a.example` stands twice in [tenant.a]\n  write it once; it is on line 2 too",
                "6:12: the domain `a.example` of [tenant.b] belongs to [tenant.a] already (line 2)\n  give it to one tenant",
                "6:25: `bü.de` in `domains` in [tenant.b] is no domain name\n  write it as it stands in the DNS, with `xn--`",
                "6:34: `x y` in `domains` in [tenant.b] is no domain name\n  write \"example.org\"",
                "7:32: `a.*.example` in `server-names` in [tenant.b] is no domain name\n  write \"pop.example.org\" or \"*.example.org\"",
                "11:17: the server name `*.x.example` of [tenant.c] belongs to [tenant.b] already (line 7)\n  give it to one tenant",
            ],
        ),
        (
            "[tenant.a]\ndefault = true\nauthenticators = ['p']\nstore = 'p'\n[tenant.b]\ndefault = true\nauthenticators = ['p']\nstore = 'p'\n",
            &[LISTENER, PLUGIN, TENANT],
            &[
                "6:11: [tenant.b] is a second default tenant, after [tenant.a] (line 1)\n  let one of them be the default",
                "14:9: nobody reaches [tenant.t]\n  give it `domains` or `server-names`, or default = true",
            ],
        ),
        (
            "[tenant.a]\ndefault = false\nauthenticators = ['p']\nstore = 'p'\n",
            &[LISTENER, PLUGIN],
            &[
                "1:9: nobody reaches [tenant.a]\n  give it `domains` or `server-names`, or default = true",
            ],
        ),
        // What is wrong in a plugin does not make its name unknown.
        (
            "[plugin.p]\n",
            &[LISTENER, TENANT],
            &[
                "1:9: `component` is missing in [plugin.p]\n  add: component = \"builtin:maildir\", or the path of a component",
            ],
        ),
    ];
    for (text, rest, expected) in table {
        let whole = [text, &rest.concat()[..]].concat();
        let expected: Vec<String> = expected
            .iter()
            .map(
                |problem| match problem.starts_with(|first: char| first.is_ascii_digit()) {
                    true => format!("restante.toml:{problem}"),
                    false => format!("restante.toml: {problem}"),
                },
            )
            .collect();
        assert_eq!(said(&whole), expected, "{whole}");
    }
}

#[test]
fn syntax_is_told_line_by_line() {
    let text = "[server]\nhostname = mail.example.org\n[listener.a]\ntls = 'off'\ntls = 'off'\n\
                [listener.b]\naddress = \"[::]:110\ntls = \"a\\qb\"\nx = [1 2]\n[listener.a]\naddress '[::]:110'\n";
    let said = said(text);
    let lines: Vec<&str> = said
        .iter()
        .filter_map(|problem| problem.split(':').nth(1))
        .collect();
    assert_eq!(lines, ["2", "5", "7", "8", "9", "10", "11"], "{said:#?}");
    for problem in &said {
        assert!(
            problem.contains(": not TOML: ") && problem.contains("\n  write "),
            "{problem}"
        );
    }
    assert_eq!(
        said[1],
        "restante.toml:5:1: not TOML: duplicate key\n  write each key and each [section] once"
    );
}

/// Whatever the octets are, there is an answer and no panic: every prefix of a
/// good text, and that text with each character replaced by an awkward one.
#[test]
fn mangled_texts_are_survived() {
    let text = [
        DESIGN,
        "[plugin.hide-spam]\ncomponent = '/x.wasm'\nsettings = { a = [1.5, 'x'] }\n",
    ]
    .concat();
    let mut answers = (0, 0);
    let mut count = |text: &str| match parse(text) {
        Ok(_) => answers.0 += 1,
        Err(problems) => {
            assert!(!problems.0.is_empty());
            assert!(!problems.to_string().is_empty());
            answers.1 += 1;
        }
    };
    for (offset, character) in text.char_indices() {
        count(&text[..offset]);
        for awkward in [
            "[", "]", "{", "}", "=", ".", "'", "\"", "\n", "\0", "ä", "0",
        ] {
            let rest = &text[offset + character.len_utf8()..];
            count(&[&text[..offset], awkward, rest].concat());
        }
    }
    assert!(answers.0 > 100 && answers.1 > 1000, "{answers:?}");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let text = "[\"serv\\u001b[2Jer\"]\n[listener.\"a\\nb\"]\naddress = \"\\u0007\"\ntls = 'off'\n[tenant.\"\\u0000\"]\n";
    let all = said(text).join("\n");
    assert!(all.contains("serv\\u{1b}[2Jer"), "{all}");
    assert!(all.contains("a\\nb"), "{all}");
    assert!(
        !all.chars()
            .any(|character| character.is_control() && character != '\n'),
        "{all:?}"
    );
}
