/* guest-sdk/c/restante.h natively, with a host that has two settings. */
#include "restante.h"

#include <stdio.h>

#undef NDEBUG
#include <assert.h>

static char logged[256];

void wasi_logging_logging_log(wasi_logging_logging_level_t level, plugin_string_t *context,
                              plugin_string_t *line) {
  assert(level <= WASI_LOGGING_LOGGING_LEVEL_CRITICAL && context->len == 0);
  snprintf(logged, sizeof logged, "%.*s", (int)line->len, (char *)line->ptr);
}

bool wasi_config_store_get(plugin_string_t *key, plugin_option_string_t *value,
                           wasi_config_store_error_t *error) {
  if (restante_equal(*key, restante_text("broken"))) {
    error->tag = WASI_CONFIG_STORE_ERROR_IO;
    error->val.io = restante_copy(restante_text("no disk"));
    return false;
  }
  value->is_some = restante_equal(*key, restante_text("users"));
  if (value->is_some) value->val = restante_copy(restante_text("one\n\ntwo"));
  return true;
}

void plugin_string_free(plugin_string_t *text) {
  if (text->len) free(text->ptr);
  *text = (plugin_string_t){NULL, 0};
}

void wasi_config_store_error_free(wasi_config_store_error_t *error) {
  plugin_string_free(&error->val.io);
}

static bool is(plugin_string_t text, const char *expected) {
  return restante_equal(text, restante_text(expected));
}

static void texts(void) {
  plugin_string_t before, behind, rest = restante_text("a:b:c"), line;
  assert(restante_split(rest, ':', &before, &behind) && is(before, "a") && is(behind, "b:c"));
  assert(restante_split(restante_text(":"), ':', &before, &behind) && !before.len && !behind.len);
  assert(!restante_split(restante_text("a"), ':', &before, &behind));
  assert(!restante_split((plugin_string_t){NULL, 0}, ':', &before, &behind));

  rest = restante_text("one\n\ntwo\n");
  assert(restante_line(&rest, &line) && is(line, "one"));
  assert(restante_line(&rest, &line) && is(line, ""));
  assert(restante_line(&rest, &line) && is(line, "two"));
  assert(!restante_line(&rest, &line));

  assert(is(restante_trim(restante_text(" \ta b\t")), "a b"));
  assert(is(restante_trim(restante_text(" ")), ""));
  plugin_string_t whole = restante_concat(3, restante_text("a"), restante_text(""), restante_text("bc"));
  assert(is(whole, "abc") && !is(whole, "abd") && !is(whole, "ab"));
  plugin_string_free(&whole);
  whole = restante_copy(restante_text(""));
  assert(whole.len == 0);

  uint32_t number = 7;
  assert(restante_number(restante_text("4294967295"), &number) && number == UINT32_MAX);
  assert(restante_number(restante_text("0"), &number) && number == 0);
  const char *none[] = {"", "4294967296", "-1", "1 ", "99999999999", "x"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++)
    assert(!restante_number(restante_text(none[i]), &number));
}

static void settings(void) {
  plugin_string_t value;
  assert(restante_setting("users", &value) && is(value, "one\n\ntwo"));
  plugin_string_free(&value);
  assert(!restante_setting("others", &value) && value.len == 0);
  assert(!restante_setting("broken", &value) && value.len == 0);
  assert(strcmp(logged, "a setting cannot be read: no disk") == 0);
  value = restante_setting_or("others", "1000");
  assert(is(value, "1000"));
  plugin_string_free(&value);
}

static void answers(void) {
  restante_plugin_types_account_t account;
  assert(restante_account(&account, restante_text("ada"), restante_text("box")));
  assert(is(account.user, "ada") && is(account.maildrop, "box") && account.attributes.len == 0);
  plugin_string_free(&account.user);
  plugin_string_free(&account.maildrop);
  restante_plugin_types_denial_t denial;
  assert(!restante_unknown(&denial) && denial.tag == RESTANTE_PLUGIN_TYPES_DENIAL_UNKNOWN);
  assert(!restante_rejected(&denial) && denial.tag == RESTANTE_PLUGIN_TYPES_DENIAL_REJECTED);
  assert(!restante_failed(&denial, "why") && denial.tag == RESTANTE_PLUGIN_TYPES_DENIAL_FAILED);
  assert(denial.val.failed.tag == RESTANTE_PLUGIN_TYPES_FAILURE_PERMANENT);
  plugin_string_free(&denial.val.failed.val.permanent);
}

static void listings(void) {
  restante_listing_t grown = {0};
  char name[32];
  for (uint32_t i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "%u.eml", i);
    restante_listing_push(&grown, restante_text(name), i, 2 * i, restante_text("n"));
  }
  exports_restante_plugin_store_listing_t listing = restante_listing_finish(&grown);
  assert(listing.octets.len == 1000 && listing.received.len == 1000 && !listing.memo.is_some);
  assert(listing.octets.ptr[999] == 999 && listing.received.ptr[999] == 1998);
  plugin_string_t rest = listing.unique_ids, id;
  for (uint32_t i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "%u.eml", i);
    assert(restante_unpack(&rest, &id) && is(id, name));
  }
  assert(!restante_unpack(&rest, &id) && listing.names.len == 2000);
  plugin_string_free(&listing.unique_ids);
  plugin_string_free(&listing.names);
  free(listing.octets.ptr);
  free(listing.received.ptr);
}

int main(void) {
  texts();
  settings();
  answers();
  listings();
  puts("done");
  return 0;
}
