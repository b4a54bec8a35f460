/* Hides messages with the header field of the setting `header`, "Name: value", or
 * shows them with the field of the setting `annotate` in front. */
#include <strings.h>

#include "restante.h"

RESTANTE_SETTING("header", "messages with this header field are marked, Name: value")
RESTANTE_SETTING("annotate", "show marked messages with this field in front; they are hidden if it is not set")

static bool same_in_any_case(plugin_string_t a, plugin_string_t b) {
  return a.len == b.len && strncasecmp((char *)a.ptr, (char *)b.ptr, a.len) == 0;
}

/* Name and value of a header field on one line; false where it is none. */
static bool field(plugin_string_t line, plugin_string_t *name, plugin_string_t *value) {
  if (!restante_split(line, ':', name, value)) return false;
  *value = restante_trim(*value);
  for (size_t i = 0; i < name->len; i++)
    if (name->ptr[i] <= ' ' || name->ptr[i] > '~') return false;
  for (size_t i = 0; i < value->len; i++)
    if (value->ptr[i] < ' ' || value->ptr[i] > '~') return false;
  return name->len && value->len;
}

/* Takes the next field off a header section, and makes one line of it: what is folded
 * over several lines (RFC 5322 section 2.2.3) stands on one, in place. */
static bool next_field(plugin_string_t *rest, plugin_string_t *whole) {
  plugin_string_t line;
  if (!restante_line(rest, &line)) return false;
  *whole = (plugin_string_t){line.ptr, 0};
  for (;;) {
    size_t length = line.len;
    if (length && line.ptr[length - 1] == '\r') length--;
    if (length) memmove(whole->ptr + whole->len, line.ptr, length);
    whole->len += length;
    bool folded = rest->len && (rest->ptr[0] == ' ' || rest->ptr[0] == '\t');
    if (!folded || !restante_line(rest, &line)) return true;
  }
}

static bool is_marked(plugin_string_t section, plugin_string_t name, plugin_string_t value) {
  plugin_string_t line, its_name, its_value;
  while (next_field(&section, &line))
    if (restante_split(line, ':', &its_name, &its_value) &&
        same_in_any_case(restante_trim(its_name), name) &&
        same_in_any_case(restante_trim(its_value), value))
      return true;
  return false;
}

bool exports_restante_plugin_filter_screen(exports_restante_plugin_filter_account_t *account,
                                           exports_restante_plugin_filter_borrow_message_t message,
                                           exports_restante_plugin_filter_verdict_t *verdict,
                                           exports_restante_plugin_filter_failure_t *failure) {
  plugin_string_t wanted, name, value, annotation;
  plugin_list_u8_t header;
  restante_plugin_types_account_free(account);
  restante_setting("header", &wanted);
  /* validate() has refused such settings. */
  if (!field(wanted, &name, &value)) return restante_permanent(failure, "the filter is not configured");
  if (!restante_plugin_maildrop_method_message_header(message, &header, failure)) {
    plugin_string_free(&wanted);
    return false;
  }
  bool marked = is_marked((plugin_string_t){header.ptr, header.len}, name, value);
  plugin_list_u8_free(&header);
  plugin_string_free(&wanted);

  verdict->tag = EXPORTS_RESTANTE_PLUGIN_FILTER_VERDICT_SHOW;
  if (!marked) return true;
  verdict->tag = EXPORTS_RESTANTE_PLUGIN_FILTER_VERDICT_HIDE;
  if (restante_setting("annotate", &annotation)) {
    verdict->tag = EXPORTS_RESTANTE_PLUGIN_FILTER_VERDICT_ANNOTATE;
    verdict->val.annotate = (plugin_list_string_t){NULL, 0};
    restante_problem(&verdict->val.annotate, annotation);
  }
  return true;
}

bool exports_restante_plugin_settings_validate(plugin_list_string_t *problems) {
  plugin_string_t line, name, value;
  *problems = (plugin_list_string_t){NULL, 0};
  if (!restante_setting("header", &line))
    restante_problem(problems, restante_copy(restante_text("header: is missing; give \"Name: value\"")));
  else if (!field(line, &name, &value))
    restante_problem(problems, restante_copy(restante_text("header: is not \"Name: value\"")));
  if (restante_setting("annotate", &line) && !field(line, &name, &value))
    restante_problem(problems, restante_copy(restante_text("annotate: is not \"Name: value\"")));
  return problems->len == 0;
}
