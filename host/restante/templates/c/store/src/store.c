/* A store: every `.eml` file of the maildrop's directory is a message, and the name of
 * the file its unique-id. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "restante.h"

/* Octets of the longest unique-id (RFC 1939 section 7, UIDL). */
#define UNIQUE_ID_OCTETS 70
#define NANOSECONDS 1000000000ull
#define SUFFIX ".eml"
/* Where the host has granted this account's directory, and locked it. */
#define MAILDROP "/maildrop"

typedef exports_restante_plugin_store_failure_t failure_t;
typedef exports_restante_plugin_store_borrow_maildrop_t self_t;

/* There is nothing to remember: the directory says it all. */
struct exports_restante_plugin_store_maildrop_t {
  uint8_t nothing;
};

typedef struct {
  plugin_string_t name, unique_id;
  restante_plugin_files_weight_t weight;
} message_t;

bool exports_restante_plugin_store_static_maildrop_open(
    exports_restante_plugin_store_account_t *account,
    exports_restante_plugin_store_own_maildrop_t *opened, failure_t *failure) {
  (void)failure;
  restante_plugin_types_account_free(account);
  *opened = exports_restante_plugin_store_maildrop_new(
      restante_alloc(sizeof(exports_restante_plugin_store_maildrop_t)));
  return true;
}

void exports_restante_plugin_store_maildrop_destructor(exports_restante_plugin_store_maildrop_t *self) {
  free(self);
}

/* There is no cheap way to tell that a file was not changed. */
bool exports_restante_plugin_store_method_maildrop_stamp(self_t self, plugin_option_string_t *stamp,
                                                         failure_t *failure) {
  (void)self, (void)failure;
  stamp->is_some = false;
  return true;
}

/* All of it is told anew. */
bool exports_restante_plugin_store_method_maildrop_changes(
    self_t self, plugin_string_t *memo, exports_restante_plugin_store_option_changes_t *changes,
    failure_t *failure) {
  (void)self, (void)failure;
  plugin_string_free(memo);
  changes->is_some = false;
  return true;
}

static bool unreadable(plugin_string_t why, failure_t *failure) {
  restante_error("the maildrop cannot be read: ", why);
  plugin_string_free(&why);
  return restante_temporary(failure, "the maildrop cannot be read");
}

/* The unique-id of a file; false: it is no message. Letters that a unique-id cannot
 * have, and names that are too long for one, keep a file out. */
static bool unique_id(plugin_string_t name, plugin_string_t *id) {
  size_t end = sizeof SUFFIX - 1;
  if (name.len <= end || memcmp(name.ptr + name.len - end, SUFFIX, end) != 0) return false;
  *id = (plugin_string_t){name.ptr, name.len - end};
  bool legal = id->len <= UNIQUE_ID_OCTETS;
  for (size_t i = 0; i < id->len; i++) legal = legal && id->ptr[i] > ' ' && id->ptr[i] <= '~';
  if (!legal) restante_warn("a file cannot be a message: its name is no unique-id");
  return legal;
}

/* The oldest first; of one age, by name. */
static int by_age(const void *left, const void *right) {
  const message_t *a = left, *b = right;
  uint64_t one = a->weight.status.modified, other = b->weight.status.modified;
  if (one != other) return one < other ? -1 : 1;
  size_t common = a->name.len < b->name.len ? a->name.len : b->name.len;
  int order = memcmp(a->name.ptr, b->name.ptr, common);
  return order ? order : (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

/* The messages among packed names; false: a file could not be measured. */
static bool collect(plugin_string_t names, message_t *messages, size_t *count, plugin_string_t *why) {
  plugin_string_t name, id;
  *count = 0;
  while (restante_unpack(&names, &name)) {
    restante_plugin_files_option_weight_t weight;
    if (!unique_id(name, &id)) continue;
    if (!restante_plugin_files_measure(&name, &weight, why)) return false;
    /* A file that is gone by now is no message, nor is an empty one (remove). */
    if (weight.is_some && weight.val.octets) messages[(*count)++] = (message_t){name, id, weight.val};
  }
  return true;
}

/* Messages that have another weight for clients that have not said UTF8. */
static exports_restante_plugin_store_list_surrogate_t surrogates(const message_t *messages, size_t count) {
  exports_restante_plugin_store_list_surrogate_t list = {
      restante_alloc(count * sizeof(exports_restante_plugin_store_surrogate_t)), 0};
  for (size_t i = 0; i < count; i++)
    if (messages[i].weight.surrogate != messages[i].weight.octets)
      list.ptr[list.len++] = (exports_restante_plugin_store_surrogate_t){
          .position = (uint32_t)i, .octets = messages[i].weight.surrogate};
  return list;
}

bool exports_restante_plugin_store_method_maildrop_listing(
    self_t self, exports_restante_plugin_store_listing_t *listing, failure_t *failure) {
  (void)self;
  plugin_string_t here = restante_text("."), why;
  restante_plugin_files_option_status_t status;
  restante_plugin_files_names_t names;
  *listing = (exports_restante_plugin_store_listing_t){0};
  if (!restante_plugin_files_stat(&here, &status, &why)) return unreadable(why, failure);
  /* Nothing was ever delivered to this account. */
  if (!status.is_some) return true;
  if (!restante_plugin_files_scan(&here, &names, &why)) return unreadable(why, failure);

  message_t *messages = restante_alloc(names.identities.len * sizeof *messages);
  size_t count;
  bool measured = collect(names.names, messages, &count, &why);
  if (measured) {
    restante_listing_t grown = {0};
    qsort(messages, count, sizeof *messages, by_age);
    for (size_t i = 0; i < count; i++)
      restante_listing_push(&grown, messages[i].unique_id, messages[i].weight.octets,
                            messages[i].weight.status.modified / NANOSECONDS, messages[i].name);
    *listing = restante_listing_finish(&grown);
    listing->surrogates = surrogates(messages, count);
  }
  free(messages);
  restante_plugin_files_names_free(&names);
  return measured || unreadable(why, failure);
}

bool exports_restante_plugin_store_method_maildrop_content(
    self_t self, plugin_string_t *name, exports_restante_plugin_store_content_t *content,
    failure_t *failure) {
  (void)self, (void)failure;
  /* The host opens the file; its octets never come in here. The name goes back. */
  content->tag = EXPORTS_RESTANTE_PLUGIN_STORE_CONTENT_FILE;
  content->val.file = (exports_restante_plugin_store_file_range_t){.path = *name};
  return true;
}

static bool not_removed(failure_t *failure) {
  restante_error("messages cannot be removed: ", restante_text(strerror(errno)));
  return restante_temporary(failure, "not all messages were removed");
}

/* Removes a file, for good before it answers. The C library has no fsync of a directory
 * here, so the file is emptied for good first: what a power cut brings back is no
 * message. That somebody else was faster is what was asked. */
static bool remove_file(plugin_string_t name) {
  plugin_string_t path = restante_concat(3, restante_text(MAILDROP "/"), name,
                                         (plugin_string_t){(uint8_t *)"", 1});
  int file = open((char *)path.ptr, O_WRONLY);
  bool removed = file < 0 ? errno == ENOENT : ftruncate(file, 0) == 0 && fsync(file) == 0;
  if (file >= 0) close(file);
  removed = removed && (unlink((char *)path.ptr) == 0 || errno == ENOENT);
  plugin_string_free(&path);
  return removed;
}

bool exports_restante_plugin_store_method_maildrop_remove(self_t self, plugin_list_string_t *names,
                                                          failure_t *failure) {
  (void)self;
  bool removed = true;
  for (size_t i = 0; removed && i < names->len; i++) removed = remove_file(names->ptr[i]);
  plugin_list_string_free(names);
  return removed || not_removed(failure);
}

/* Contents are files: there are no readers. */
struct exports_restante_plugin_store_reader_t {
  uint8_t nothing;
};

void exports_restante_plugin_store_reader_destructor(exports_restante_plugin_store_reader_t *self) {
  free(self);
}

bool exports_restante_plugin_store_method_reader_read(exports_restante_plugin_store_borrow_reader_t self,
                                                      uint32_t limit, plugin_list_u8_t *octets,
                                                      failure_t *failure) {
  (void)self, (void)limit, (void)octets;
  return restante_permanent(failure, "there are no readers");
}
