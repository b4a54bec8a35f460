/* Turns away clients from the networks of the setting `deny`, and greets those from
 * `delay` after `delay-milliseconds`. */
#include <arpa/inet.h>

#include "restante.h"

RESTANTE_SETTING("deny", "networks whose clients are turned away")
RESTANTE_SETTING("delay", "networks whose clients are greeted later")
RESTANTE_SETTING("delay-milliseconds", "how much later; 1000 if it is not set")

#define IPV4_OCTETS 4
#define IPV6_OCTETS 16

typedef struct {
  uint8_t octets[IPV6_OCTETS];
  /* Of the address: IPV4_OCTETS or IPV6_OCTETS. */
  size_t count;
} address_t;

static bool parse_address(plugin_string_t text, address_t *address) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.len >= sizeof terminated) return false;
  memcpy(terminated, text.ptr, text.len);
  terminated[text.len] = 0;
  bool is_ipv6 = memchr(terminated, ':', text.len) != NULL;
  address->count = is_ipv6 ? IPV6_OCTETS : IPV4_OCTETS;
  return strlen(terminated) == text.len &&
         inet_pton(is_ipv6 ? AF_INET6 : AF_INET, terminated, address->octets) == 1;
}

/* "ADDRESS/BITS", or an address alone. */
static bool parse_network(plugin_string_t text, address_t *network, uint32_t *bits) {
  plugin_string_t address = text, length;
  bool has_length = restante_split(text, '/', &address, &length);
  if (!address.len || !parse_address(address, network)) return false;
  *bits = (uint32_t)network->count * 8;
  uint32_t most = *bits;
  return !has_length || (restante_number(length, bits) && *bits <= most);
}

static bool contains(const address_t *network, uint32_t bits, const address_t *client) {
  if (network->count != client->count) return false;
  uint32_t whole = bits / 8, rest = bits % 8;
  if (memcmp(network->octets, client->octets, whole) != 0) return false;
  uint8_t mask = (uint8_t)(0xff00 >> rest);
  return rest == 0 || ((network->octets[whole] ^ client->octets[whole]) & mask) == 0;
}

/* Whether a client is in one of a setting's networks. An array arrives as its
 * elements, one a line. */
static bool inside(const char *key, const address_t *client) {
  plugin_string_t lines, line;
  address_t network;
  uint32_t bits;
  restante_setting(key, &lines);
  while (restante_line(&lines, &line))
    if (parse_network(line, &network, &bits) && contains(&network, bits, client)) return true;
  return false;
}

static bool delay(uint32_t *milliseconds) {
  return restante_number(restante_setting_or("delay-milliseconds", "1000"), milliseconds);
}

static void deny(exports_restante_plugin_admission_verdict_t *verdict, const char *text) {
  verdict->tag = EXPORTS_RESTANTE_PLUGIN_ADMISSION_VERDICT_DENY;
  verdict->val.deny = restante_copy(restante_text(text));
}

void exports_restante_plugin_admission_admit(exports_restante_plugin_admission_connection_t *connection,
                                             exports_restante_plugin_admission_verdict_t *verdict) {
  address_t client;
  if (!parse_address(connection->client_address, &client)) {
    deny(verdict, "your address cannot be read");
    return;
  }
  if (inside("deny", &client)) {
    restante_info("turned away");
    deny(verdict, "no mail for your network");
    return;
  }
  bool late = inside("delay", &client) && delay(&verdict->val.delay);
  verdict->tag = late ? EXPORTS_RESTANTE_PLUGIN_ADMISSION_VERDICT_DELAY
                      : EXPORTS_RESTANTE_PLUGIN_ADMISSION_VERDICT_ADMIT;
}

/* Adds a line for each network of a setting that is none. */
static void look_over(const char *key, plugin_list_string_t *problems) {
  plugin_string_t lines, line;
  address_t network;
  uint32_t bits;
  restante_setting(key, &lines);
  while (restante_line(&lines, &line))
    if (!parse_network(line, &network, &bits))
      restante_problem(problems,
                       restante_concat(4, restante_text(key), restante_text(": \""), line,
                                       restante_text("\" is no network, as 192.0.2.0/24 is")));
}

bool exports_restante_plugin_settings_validate(plugin_list_string_t *problems) {
  uint32_t milliseconds;
  *problems = (plugin_list_string_t){NULL, 0};
  look_over("deny", problems);
  look_over("delay", problems);
  if (!delay(&milliseconds))
    restante_problem(problems, restante_copy(restante_text("delay-milliseconds: is no whole number")));
  return problems->len == 0;
}
