/* Lets in the users of the setting `users`: an array of "NAME:HASH", with hashes as
 * `restante hash-password` prints them. */
#include "restante.h"

RESTANTE_SETTING("users", "NAME:HASH, with a hash as `restante hash-password` prints it")

/* Finds a user's hash; false where there is none. `spare` becomes the hash of the
 * first user: somebody unknown is to take as long as somebody known. */
static bool find(plugin_string_t users, plugin_string_t user, plugin_string_t *hash,
                 plugin_string_t *spare) {
  plugin_string_t line, name, its_hash;
  *spare = (plugin_string_t){NULL, 0};
  bool known = false;
  while (restante_line(&users, &line)) {
    if (!restante_split(line, ':', &name, &its_hash)) continue;
    if (!spare->len) *spare = its_hash;
    if (!known && restante_equal(name, user)) *hash = its_hash, known = true;
  }
  return known;
}

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
  if (password->acting_as.is_some && !restante_equal(password->acting_as.val, password->user))
    return restante_unknown(denial);

  plugin_string_t users, hash, spare, why;
  restante_setting("users", &users);
  bool known = find(users, password->user, &hash, &spare);
  bool right = false;
  bool verified = restante_plugin_passwords_verify(known ? &hash : &spare, &password->secret, &right, &why);
  if (!known) return restante_unknown(denial);
  if (!verified) {
    restante_error("a hash in the setting users is of no use: ", why);
    return restante_failed(denial, "the user's entry is broken");
  }
  if (!right) return restante_rejected(denial);
  return restante_account(account, password->user, password->user);
}

bool exports_restante_plugin_settings_validate(plugin_list_string_t *problems) {
  plugin_string_t users, line, name, hash;
  *problems = (plugin_list_string_t){NULL, 0};
  if (!restante_setting("users", &users) || !users.len)
    restante_problem(problems,
                     restante_copy(restante_text("users: is missing; give an array of \"NAME:HASH\"")));
  /* The lines hold hashes, which nobody is to print. */
  while (restante_line(&users, &line))
    if (!restante_split(line, ':', &name, &hash) || !name.len || !hash.len)
      restante_problem(problems,
                       restante_copy(restante_text("users: an entry is not \"NAME:HASH\"")));
  return problems->len == 0;
}
