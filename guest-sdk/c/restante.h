/* What spares authors of plugins in C something, over the bindings in plugin.h.
 *
 * All of it is static and inline: include it where it is wanted, nothing has to be
 * linked. Texts are plugin_string_t, pointer and length, without a NUL behind them;
 * plugin_string_dup (plugin.h) makes one of a C string.
 *
 * Who frees what: the arguments of a role's function are the function's own, to be
 * freed with the ..._free of plugin.h, and what it answers is freed by plugin.c once
 * the host has read it. Whatever an answer holds must therefore come from malloc:
 * the makers below copy what they are given. An instance of an authenticator, an
 * admission or `settings` lives for one question, and its memory goes with it: they
 * need not free anything. A store's lives for a session.
 *
 * Out of memory is abort(): the client is told [SYS/TEMP], and the log says why.
 */
#ifndef RESTANTE_H
#define RESTANTE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

/* ---- Memory */

/* malloc that cannot fail. Of zero octets it is NULL, which free takes. */
static inline void *restante_alloc(size_t octets) {
  if (octets == 0) return NULL;
  void *memory = malloc(octets);
  if (!memory) abort();
  return memory;
}

/* ---- Texts */

/* A text that points to a C string: for arguments of the host's functions, which
 * free nothing. Not for answers; those take restante_copy. */
static inline plugin_string_t restante_text(const char *text) {
  return (plugin_string_t){(uint8_t *)text, strlen(text)};
}

/* A copy of a text, for answers. */
static inline plugin_string_t restante_copy(plugin_string_t text) {
  plugin_string_t copy = {restante_alloc(text.len), text.len};
  if (text.len) memcpy(copy.ptr, text.ptr, text.len);
  return copy;
}

/* Some texts in a row, as one: restante_concat(2, a, b). */
static inline plugin_string_t restante_concat(int count, ...) {
  plugin_string_t whole = {NULL, 0};
  va_list texts;
  va_start(texts, count);
  for (int i = 0; i < count; i++) whole.len += va_arg(texts, plugin_string_t).len;
  va_end(texts);
  uint8_t *end = whole.ptr = restante_alloc(whole.len);
  va_start(texts, count);
  for (int i = 0; i < count; i++) {
    plugin_string_t text = va_arg(texts, plugin_string_t);
    if (text.len) memcpy(end, text.ptr, text.len);
    end += text.len;
  }
  va_end(texts);
  return whole;
}

/* Whether two texts are the same, octet for octet. Not for secrets: it is faster
 * the sooner they differ. passwords.verify is for those. */
static inline bool restante_equal(plugin_string_t a, plugin_string_t b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Without spaces and tabs at both ends; points into the text. */
static inline plugin_string_t restante_trim(plugin_string_t text) {
  while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) text.ptr++, text.len--;
  while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) text.len--;
  return text;
}

/* Parts a text at the first of a character; both parts point into it. False, and
 * nothing written, where there is none. */
static inline bool restante_split(plugin_string_t text, char at, plugin_string_t *before,
                                  plugin_string_t *behind) {
  uint8_t *found = text.len ? memchr(text.ptr, at, text.len) : NULL;
  if (!found) return false;
  size_t length = (size_t)(found - text.ptr);
  *before = (plugin_string_t){text.ptr, length};
  *behind = (plugin_string_t){found + 1, text.len - length - 1};
  return true;
}

/* Takes the next line off a text: while (restante_line(&rest, &line)) … Both point
 * into it. An array in the configuration is its elements, one a line. */
static inline bool restante_line(plugin_string_t *rest, plugin_string_t *line) {
  if (rest->len == 0) return false;
  if (!restante_split(*rest, '\n', line, rest)) {
    *line = *rest;
    *rest = (plugin_string_t){NULL, 0};
  }
  return true;
}

/* A whole number in decimal digits; false where the text is none, or too large. */
static inline bool restante_number(plugin_string_t text, uint32_t *number) {
  uint64_t value = 0;
  if (text.len == 0 || text.len > 10) return false;
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] < '0' || text.ptr[i] > '9') return false;
    value = value * 10 + (text.ptr[i] - '0');
  }
  if (value > UINT32_MAX) return false;
  *number = (uint32_t)value;
  return true;
}

/* ---- The log. Lines leave with plugin, tenant and session on them. No secrets. */

static inline void restante_log(wasi_logging_logging_level_t level, plugin_string_t line) {
  plugin_string_t context = {NULL, 0};
  wasi_logging_logging_log(level, &context, &line);
}

static inline void restante_debug(const char *line) {
  restante_log(WASI_LOGGING_LOGGING_LEVEL_DEBUG, restante_text(line));
}

static inline void restante_info(const char *line) {
  restante_log(WASI_LOGGING_LOGGING_LEVEL_INFO, restante_text(line));
}

static inline void restante_warn(const char *line) {
  restante_log(WASI_LOGGING_LOGGING_LEVEL_WARN, restante_text(line));
}

/* A line, and what is the matter: restante_error("the hash is of no use: ", why). */
static inline void restante_error(const char *line, plugin_string_t why) {
  plugin_string_t whole = restante_concat(2, restante_text(line), why);
  restante_log(WASI_LOGGING_LOGGING_LEVEL_ERROR, whole);
  plugin_string_free(&whole);
}

/* ---- Settings */

/* Writes into the component that it reads a setting and what that means, for
 * `restante plugin inspect`; outside of functions, once for each setting, without a
 * semicolon behind it. Neither text may have a quotation mark or a backslash. */
#ifdef __wasm__
#define RESTANTE_SETTING(key, meaning)                       \
  __asm__(                                                   \
      ".section \".custom_section.restante:settings\",\"\",@\n" \
      ".ascii \"" key ": " meaning "\\n\"\n"                  \
      ".text\n");
#else
#define RESTANTE_SETTING(key, meaning)
#endif

/* The value of a key; false, and an empty text, where it is not set. */
static inline bool restante_setting(const char *key, plugin_string_t *value) {
  plugin_string_t name = restante_text(key);
  plugin_option_string_t found = {false, {NULL, 0}};
  wasi_config_store_error_t error;
  *value = (plugin_string_t){NULL, 0};
  if (!wasi_config_store_get(&name, &found, &error)) {
    restante_error("a setting cannot be read: ", error.tag == WASI_CONFIG_STORE_ERROR_UPSTREAM
                                                     ? error.val.upstream
                                                     : error.val.io);
    wasi_config_store_error_free(&error);
    return false;
  }
  if (!found.is_some) return false;
  *value = found.val;
  return true;
}

/* The same, with a value for where it is not set. The text is the caller's to free. */
static inline plugin_string_t restante_setting_or(const char *key, const char *otherwise) {
  plugin_string_t value;
  return restante_setting(key, &value) ? value : restante_copy(restante_text(otherwise));
}

/* Adds a line to what settings.validate answers. The line becomes the list's. */
static inline void restante_problem(plugin_list_string_t *problems, plugin_string_t line) {
  plugin_string_t *longer = realloc(problems->ptr, (problems->len + 1) * sizeof *longer);
  if (!longer) abort();
  problems->ptr = longer;
  problems->ptr[problems->len++] = line;
}

/* ---- Answers. Those that refuse are false, so that they can be returned. */

/* An account of this user, with a maildrop of that name; attributes can be added. */
static inline bool restante_account(restante_plugin_types_account_t *account, plugin_string_t user,
                                    plugin_string_t maildrop) {
  account->user = restante_copy(user);
  account->maildrop = restante_copy(maildrop);
  account->attributes = (plugin_list_tuple2_string_string_t){NULL, 0};
  return true;
}

/* It will fail until somebody acts: [SYS/PERM]. The client reads the text. */
static inline bool restante_permanent(restante_plugin_types_failure_t *failure, const char *text) {
  failure->tag = RESTANTE_PLUGIN_TYPES_FAILURE_PERMANENT;
  failure->val.permanent = restante_copy(restante_text(text));
  return false;
}

/* Trying again later may help: [SYS/TEMP]. The client reads the text. */
static inline bool restante_temporary(restante_plugin_types_failure_t *failure, const char *text) {
  failure->tag = RESTANTE_PLUGIN_TYPES_FAILURE_TEMPORARY;
  failure->val.temporary = restante_copy(restante_text(text));
  return false;
}

/* Not a user of ours: the tenant's next authenticator is asked. */
static inline bool restante_unknown(restante_plugin_types_denial_t *denial) {
  denial->tag = RESTANTE_PLUGIN_TYPES_DENIAL_UNKNOWN;
  return false;
}

/* The credentials are wrong, and nobody else is asked. */
static inline bool restante_rejected(restante_plugin_types_denial_t *denial) {
  denial->tag = RESTANTE_PLUGIN_TYPES_DENIAL_REJECTED;
  return false;
}

/* It could not be decided, and will not be until somebody acts. */
static inline bool restante_failed(restante_plugin_types_denial_t *denial, const char *text) {
  denial->tag = RESTANTE_PLUGIN_TYPES_DENIAL_FAILED;
  return restante_permanent(&denial->val.failed, text);
}

/* ---- Listings of a store */

/* Texts of a listing: packed into one, each with a NUL behind it. */
typedef struct restante_packed {
  plugin_string_t text;
  size_t room;
} restante_packed_t;

/* A listing that grows: begin with {0}, push the oldest message first, and hand over
 * what restante_listing_finish makes of it. */
typedef struct restante_listing {
  restante_packed_t unique_ids, names;
  uint64_t *octets, *received;
  size_t count, room;
} restante_listing_t;

/* Octets or messages that a listing has room for at first; doubled as it grows. */
#define RESTANTE_FIRST_ROOM 64

static inline void restante_pack(restante_packed_t *packed, plugin_string_t text) {
  size_t wanted = packed->text.len + text.len + 1;
  if (wanted > packed->room) {
    size_t room = packed->room ? packed->room : RESTANTE_FIRST_ROOM;
    while (room < wanted) room *= 2;
    packed->text.ptr = realloc(packed->text.ptr, room);
    if (!packed->text.ptr) abort();
    packed->room = room;
  }
  if (text.len) memcpy(packed->text.ptr + packed->text.len, text.ptr, text.len);
  packed->text.len = wanted;
  packed->text.ptr[wanted - 1] = 0;
}

/* Takes the next of packed texts, as files.scan has them; points into them. */
static inline bool restante_unpack(plugin_string_t *rest, plugin_string_t *text) {
  return restante_split(*rest, 0, text, rest);
}

/* A message: its unique-id (1 to 70 octets of 0x21 to 0x7E), its octets on the wire,
 * when it came (seconds since 1970; 0: not known), and the store's name for it. */
static inline void restante_listing_push(restante_listing_t *listing, plugin_string_t unique_id,
                                         uint64_t octets, uint64_t received, plugin_string_t name) {
  if (listing->count == listing->room) {
    listing->room = listing->room ? 2 * listing->room : RESTANTE_FIRST_ROOM;
    listing->octets = realloc(listing->octets, listing->room * sizeof(uint64_t));
    listing->received = realloc(listing->received, listing->room * sizeof(uint64_t));
    if (!listing->octets || !listing->received) abort();
  }
  restante_pack(&listing->unique_ids, unique_id);
  restante_pack(&listing->names, name);
  listing->octets[listing->count] = octets;
  listing->received[listing->count++] = received;
}

/* The listing as the host wants it. Surrogates and a memo can be added. */
static inline exports_restante_plugin_store_listing_t
restante_listing_finish(const restante_listing_t *listing) {
  return (exports_restante_plugin_store_listing_t){
      .unique_ids = listing->unique_ids.text,
      .octets = {listing->octets, listing->count},
      .received = {listing->received, listing->count},
      .names = listing->names.text,
  };
}

#endif
