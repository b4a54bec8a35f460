//! EXPIRE and LOGIN-DELAY (RFC 2449 sections 6.5 and 6.7): what a tenant says of
//! them, what holds for one of its users, and when each of them logged in last.
//!
//! Knows neither the session nor how anybody is authenticated.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use restante_pop3::{ByUser, Retention};
use tokio::time::Instant;
use tracing::warn;

use restante_config as config;
use restante_roles::backend::Account;
use restante_roles::fingerprint::Fingerprint;

/// Seconds in a day.
const DAY: u64 = 24 * 60 * 60;

/// Users of a tenant that are remembered; for one more, that which logged in least recently
/// is forgotten, and may come sooner. Some 100 octets each.
const MAX_USERS: usize = 64 << 10;

/// A tenant's policy.
#[derive(Debug, Clone)]
pub struct Policy {
    expire: Option<Retention>,
    max_share: u8,
    max_clock_jump: Duration,
    login_delay: Duration,
    by_user: bool,
}

/// Why what seems to have expired is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubtfulExpiry {
    /// The clock was set forward by this since the start.
    Clock(Duration),
    /// More would go at once than this many percent of the maildrop.
    Share(u8),
}

impl fmt::Display for DoubtfulExpiry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DoubtfulExpiry::Clock(jump) => write!(
                out,
                "the clock was set forward by {} s since the server started, more than \
                 `expire-max-clock-jump`; if the clock is right now, restart the server",
                jump.as_secs()
            ),
            DoubtfulExpiry::Share(most) => write!(
                out,
                "it is more than {most} % of the maildrop, `expire-max-share`; if it is right, \
                 raise the share"
            ),
        }
    }
}

/// What holds for one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfUser {
    /// How long messages stay.
    pub expire: Option<Retention>,
    /// How soon the next login is welcome.
    pub login_delay: Duration,
}

impl Policy {
    /// No policy: nothing expires, everybody may come at any time.
    pub const NONE: Policy = Policy {
        expire: None,
        max_share: 100,
        max_clock_jump: Duration::MAX,
        login_delay: Duration::ZERO,
        by_user: false,
    };

    /// As the configuration has it.
    pub fn new(tenant: &config::Tenant) -> Self {
        Policy {
            expire: tenant.expire,
            max_share: tenant.expire_max_share,
            max_clock_jump: tenant.expire_max_clock_jump,
            login_delay: tenant.login_delay,
            by_user: tenant.policy_by_user,
        }
    }

    /// Why nothing expires, though so many of so many messages are old enough: the
    /// clock that says so was set forward by that much, or it would be nearly all.
    pub fn doubts(
        &self,
        expired: usize,
        messages: usize,
        set_forward: Duration,
    ) -> Option<DoubtfulExpiry> {
        if set_forward > self.max_clock_jump {
            return Some(DoubtfulExpiry::Clock(set_forward));
        }
        let most = messages.saturating_mul(self.max_share.into()) / 100;
        (expired > most).then_some(DoubtfulExpiry::Share(self.max_share))
    }

    /// What holds for this account. Its attributes can make the tenant's policy
    /// milder, never stricter: what was announced before login stays true.
    pub fn of(&self, account: &Account) -> OfUser {
        let mut user = OfUser {
            expire: self.expire,
            login_delay: self.login_delay,
        };
        if !self.by_user {
            return user;
        }
        for (key, value) in account.attributes.shown() {
            let understood = match key {
                "expire" => config::retention(value).map(|own| {
                    user.expire = user.expire.map(|general| milder(general, own));
                }),
                "login-delay" => config::duration(value).map(|own| {
                    user.login_delay = user.login_delay.min(own);
                }),
                _ => continue,
            };
            if understood.is_none() {
                warn!(
                    user = ?account.user, attribute = key, value,
                    "an attribute of the account is invalid: the tenant's policy applies"
                );
            }
        }
        user
    }
}

impl OfUser {
    /// Whether a message that came then (seconds since the Unix epoch; 0: nobody
    /// knows) may be removed now.
    pub fn expires(&self, received: u64, retrieved: bool) -> bool {
        match self.expire {
            None | Some(Retention::Never) => false,
            Some(Retention::Days(0)) => retrieved,
            Some(Retention::Days(days)) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let age = now.map_or(0, |now| now.as_secs().saturating_sub(received));
                received > 0 && age > u64::from(days) * DAY
            }
        }
    }
}

fn milder(one: Retention, other: Retention) -> Retention {
    match (one, other) {
        (Retention::Days(one), Retention::Days(other)) => Retention::Days(one.max(other)),
        _ => Retention::Never,
    }
}

fn stricter(one: Retention, other: Retention) -> Retention {
    match (one, other) {
        (Retention::Days(one), Retention::Days(other)) => Retention::Days(one.min(other)),
        (Retention::Days(days), Retention::Never) | (Retention::Never, Retention::Days(days)) => {
            Retention::Days(days)
        }
        (Retention::Never, Retention::Never) => Retention::Never,
    }
}

/// What is announced before it is known whose user the client is: the worst of
/// all tenants; None: no tenant says anything.
pub fn announced(tenants: &[config::Tenant]) -> (Option<ByUser<Retention>>, Option<ByUser<u32>>) {
    let all = || tenants.iter();
    let silent = |tenant: &config::Tenant| tenant.expire.unwrap_or(Retention::Never);
    let expire = all().any(|tenant| tenant.expire.is_some()).then(|| {
        let general = all().map(silent).fold(Retention::Never, stricter);
        ByUser {
            general,
            differs: all().any(|tenant| silent(tenant) != general || by_user(tenant)),
        }
    });
    let seconds = |tenant: &config::Tenant| whole_seconds(tenant.login_delay);
    let general = all().map(seconds).max().unwrap_or(0);
    let delay = (general > 0).then(|| ByUser {
        general,
        differs: all().any(|tenant| seconds(tenant) != general || by_user(tenant)),
    });
    (expire, delay)
}

fn by_user(tenant: &config::Tenant) -> bool {
    tenant.policy_by_user
}

/// Rounded up: what is said is never sooner than what is meant.
pub fn whole_seconds(duration: Duration) -> u32 {
    let more = u64::from(duration.subsec_nanos() > 0);
    u32::try_from(duration.as_secs().saturating_add(more)).unwrap_or(u32::MAX)
}

/// When the users of a tenant logged in last, as long as it matters. Clones share
/// one memory; hand the old generation's to the new one.
#[derive(Debug, Clone)]
pub struct LastLogins {
    users: Arc<Mutex<Welcomes>>,
}

/// By user, when the next login is welcome, in the order of the last ones.
type Welcomes = LruCache<Fingerprint, Instant>;

impl Default for LastLogins {
    fn default() -> Self {
        LastLogins {
            // Bounded in `note`: a bounded one takes all its room at once.
            users: Arc::new(Mutex::new(LruCache::unbounded())),
        }
    }
}

impl LastLogins {
    /// How long this user still has to wait; None: not at all.
    pub fn wait(&self, user: &str) -> Option<Duration> {
        let users = self.lock();
        let welcome = users.peek(&Fingerprint::of(user))?;
        let wait = welcome.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// The user is logged in, and welcome again after `delay`.
    pub fn note(&self, user: &str, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut users = self.lock();
        users.push(Fingerprint::of(user), now + delay);
        while let Some((_, welcome)) = users.peek_lru()
            && (*welcome <= now || users.len() > MAX_USERS)
        {
            users.pop_lru();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Welcomes> {
        // Every change is one call on the map.
        self.users.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(attributes: &[(&str, &str)]) -> Account {
        let attributes = attributes.iter();
        Account {
            user: "u".into(),
            maildrop: "u".into(),
            attributes: attributes
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<Vec<_>>()
                .into(),
        }
    }

    #[test]
    fn attributes_make_it_milder_never_stricter() {
        let policy = Policy {
            expire: Some(Retention::Days(30)),
            login_delay: Duration::from_secs(60),
            by_user: true,
            ..Policy::NONE
        };
        let of = |attributes: &[(&str, &str)]| {
            let user = policy.of(&account(attributes));
            (user.expire, user.login_delay.as_secs())
        };
        let general = (Some(Retention::Days(30)), 60);
        assert_eq!(of(&[]), general);
        assert_eq!(of(&[("expire", "10d"), ("login-delay", "5m")]), general);
        assert_eq!(of(&[("expire", "soon"), ("login-delay", "5")]), general);
        let mild = of(&[("expire", "never"), ("login-delay", "10s")]);
        assert_eq!(mild, (Some(Retention::Never), 10));
        assert_eq!(of(&[("expire", "90d")]).0, Some(Retention::Days(90)));
        let strict = Policy {
            by_user: false,
            ..policy.clone()
        };
        let user = strict.of(&account(&[("expire", "never")]));
        assert_eq!(user.expire, Some(Retention::Days(30)));
    }

    #[test]
    fn what_expires() {
        let user = |expire| OfUser {
            expire,
            login_delay: Duration::ZERO,
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let old = now - 31 * DAY;
        for expire in [None, Some(Retention::Never)] {
            assert!(!user(expire).expires(1, true));
        }
        let thirty = user(Some(Retention::Days(30)));
        assert!(thirty.expires(old, false));
        assert!(!thirty.expires(now - 29 * DAY, true));
        assert!(!thirty.expires(now + DAY, true), "from the future");
        assert!(!thirty.expires(0, true), "nobody knows when it came");
        let none = user(Some(Retention::Days(0)));
        assert!(none.expires(now, true));
        assert!(!none.expires(old, false), "never seen by the client");
    }

    #[test]
    fn what_expires_is_doubted_beyond_the_share_or_the_jump_of_the_clock() {
        let hour = Duration::from_secs(3600);
        let policy = |max_share| Policy {
            max_share,
            max_clock_jump: hour,
            ..Policy::NONE
        };
        let none = Duration::ZERO;
        for (share, expired, messages, doubted) in [
            (90, 9, 10, false),
            (90, 10, 10, true),
            (90, 1, 1, true),
            (100, 1, 1, false),
            (50, 2, 3, true),
            (50, 1, 3, false),
            (1, 1, 99, true),
            (1, 1, 100, false),
            (50, 0, 0, false),
        ] {
            let doubts = policy(share).doubts(expired, messages, none);
            let expected = doubted.then_some(DoubtfulExpiry::Share(share));
            assert_eq!(doubts, expected, "{share} % {expired} {messages}");
        }
        assert_eq!(policy(100).doubts(1, 10, hour), None);
        let more = hour + Duration::from_secs(1);
        let clock = Some(DoubtfulExpiry::Clock(more));
        assert_eq!(policy(100).doubts(1, 10, more), clock);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_login_counts_and_is_forgotten() {
        let logins = LastLogins::default();
        assert_eq!(logins.wait("u"), None);
        logins.note("u", Duration::from_secs(60));
        logins.note("v", Duration::ZERO);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(logins.wait("u"), Some(Duration::from_secs(40)));
        assert_eq!(logins.wait("v"), None);
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(logins.wait("u"), None);
        for user in 0..100 {
            logins.note(&user.to_string(), Duration::from_millis(1));
            tokio::time::advance(Duration::from_millis(2)).await;
        }
        assert_eq!(logins.lock().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_authenticator_with_a_new_user_for_each_login_fills_no_memory() {
        let (logins, day) = (LastLogins::default(), Duration::from_secs(DAY));
        for user in 0..MAX_USERS + 100 {
            logins.note(&user.to_string(), day);
        }
        assert_eq!(logins.lock().len(), MAX_USERS);
        assert!(logins.wait("0").is_none());
        assert!(logins.wait(&(MAX_USERS + 99).to_string()).is_some());
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(7)), 7);
        assert_eq!(whole_seconds(Duration::MAX), u32::MAX);
    }
}
