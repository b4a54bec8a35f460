/* Lets in the users of the setting `users`, an array of "NAME:HASH" or
 * "NAME:HASH:MAILDROP". */
#include "restante.h"

RESTANTE_SETTING("users", "NAME:HASH or NAME:HASH:MAILDROP, with a hash as `restante hash-password` prints it")

/* Kinds of hashes that validate() asks the host about; of more it takes the host's
 * word at login. */
#define KINDS 16

typedef struct {
  plugin_string_t name, hash, maildrop;
} user_t;

/* ---- The setting */

/* Who a line is about; all of it points into the line. Without a maildrop of its own
 * a user's is called like the user. */
static bool parse(plugin_string_t line, user_t *user) {
  plugin_string_t hash, maildrop;
  if (!restante_split(line, ':', &user->name, &user->hash)) return false;
  user->maildrop = user->name;
  if (restante_split(user->hash, ':', &hash, &maildrop)) {
    user->hash = hash;
    user->maildrop = maildrop;
  }
  return user->name.len && user->hash.len && user->maildrop.len;
}

/* A user by name; false where there is none. `spare` is a user all the same, the
 * first whose hash is one: somebody unknown is to take as long as somebody known. */
static bool find(plugin_string_t users, plugin_string_t name, user_t *found, user_t *spare) {
  plugin_string_t line;
  bool known = false;
  *spare = (user_t){0};
  while (restante_line(&users, &line)) {
    user_t user;
    if (!parse(line, &user)) continue;
    if (!spare->hash.len && user.hash.ptr[0] != '!') *spare = user;
    if (!known && restante_equal(user.name, name)) *found = user, known = true;
  }
  return known;
}

/* By custom no password opens such an entry. */
static bool locked(const user_t *user) { return user->hash.ptr[0] == '!'; }

/* ---- authenticator */

bool exports_restante_plugin_authenticator_authenticate(
    exports_restante_plugin_authenticator_connection_t *connection,
    exports_restante_plugin_authenticator_credentials_t *credentials,
    exports_restante_plugin_authenticator_account_t *account,
    exports_restante_plugin_authenticator_denial_t *denial) {
  (void)connection;
  /* Whoever comes with something else is somebody else's to judge. */
  if (credentials->tag != EXPORTS_RESTANTE_PLUGIN_AUTHENTICATOR_CREDENTIALS_PASSWORD)
    return restante_unknown(denial);
  exports_restante_plugin_authenticator_password_t *password = &credentials->val.password;

  plugin_string_t users;
  user_t user, spare;
  restante_setting("users", &users);
  bool known = find(users, password->user, &user, &spare);
  bool judged = known && !locked(&user);
  bool right = false;
  plugin_string_t why;
  plugin_string_t *hash = judged ? &user.hash : &spare.hash;
  bool verified = hash->len && restante_plugin_passwords_verify(hash, &password->secret, &right, &why);

  if (!known) return restante_unknown(denial);
  if (!judged) return restante_rejected(denial);
  if (!verified) {
    restante_error("a hash in the setting users is of no use: ", why);
    return restante_failed(denial, "the user's entry is broken");
  }
  /* Nobody acts as somebody else here. */
  bool self = !password->acting_as.is_some || restante_equal(password->acting_as.val, user.name);
  if (!right || !self) return restante_rejected(denial);
  return restante_account(account, user.name, user.maildrop);
}

/* ---- settings */

/* How a hash begins: "{SCHEME}", "$id$", or both. Empty: it has no known form. */
static plugin_string_t kind(plugin_string_t hash) {
  size_t end = 0;
  if (hash.ptr[0] == '{') {
    uint8_t *brace = memchr(hash.ptr, '}', hash.len);
    if (!brace) return (plugin_string_t){NULL, 0};
    end = (size_t)(brace - hash.ptr) + 1;
  }
  if (end < hash.len && hash.ptr[end] == '$') {
    uint8_t *dollar = memchr(hash.ptr + end + 1, '$', hash.len - end - 1);
    if (dollar) end = (size_t)(dollar - hash.ptr) + 1;
  }
  return (plugin_string_t){hash.ptr, end};
}

/* Adds "users: entry N: WHAT". The lines hold hashes, which nobody is to print: they
 * go by number. */
static void broken(plugin_list_string_t *problems, uint32_t number, plugin_string_t what) {
  char digits[10];
  size_t first = sizeof digits;
  do digits[--first] = (char)('0' + number % 10);
  while (number /= 10);
  plugin_string_t entry = {(uint8_t *)digits + first, sizeof digits - first};
  restante_problem(problems, restante_concat(4, restante_text("users: entry "), entry,
                                             restante_text(": "), what));
}

/* Whether the host can verify hashes of this kind; each kind is tried once, since
 * verifying takes its time by design. */
static bool can_verify(plugin_string_t hash, plugin_string_t *why) {
  static plugin_string_t tried[KINDS];
  static size_t count;
  plugin_string_t its_kind = kind(hash);
  for (size_t i = 0; i < count; i++)
    if (restante_equal(tried[i], its_kind)) return true;
  if (count == KINDS) return true;
  plugin_string_t secret = restante_text("a secret for trial");
  bool right;
  if (!restante_plugin_passwords_verify(&hash, &secret, &right, why)) return false;
  tried[count++] = its_kind;
  return true;
}

/* Whether this name stands in an earlier line. */
static bool named_before(plugin_string_t users, uint32_t number, plugin_string_t name) {
  plugin_string_t line;
  for (uint32_t earlier = 1; earlier < number && restante_line(&users, &line); earlier++) {
    user_t user;
    if (parse(line, &user) && restante_equal(user.name, name)) return true;
  }
  return false;
}

bool exports_restante_plugin_settings_validate(plugin_list_string_t *problems) {
  plugin_string_t users, line, why;
  *problems = (plugin_list_string_t){NULL, 0};
  if (!restante_setting("users", &users) || !users.len) {
    restante_problem(problems,
                     restante_copy(restante_text("users: is missing; give an array of \"NAME:HASH\"")));
    return false;
  }
  plugin_string_t rest = users;
  for (uint32_t number = 1; restante_line(&rest, &line); number++) {
    user_t user;
    if (!parse(line, &user))
      broken(problems, number, restante_text("is not \"NAME:HASH\" or \"NAME:HASH:MAILDROP\""));
    else if (named_before(users, number, user.name))
      broken(problems, number, restante_text("names a user who stands in an earlier one, which counts"));
    else if (locked(&user))
      continue;
    else if (!kind(user.hash).len)
      broken(problems, number,
             restante_text("the hash has no known form (`restante hash-password` prints one that has)"));
    else if (!can_verify(user.hash, &why))
      broken(problems, number, why);
  }
  return problems->len == 0;
}
