/* address.c: see address.h. */
#include "ipc/address.h"

#include <string.h>

#include <kin/error.h>

#define PORT_SIZE 6

static bool is_port(const char *text)
{
    unsigned value = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits >= PORT_SIZE || text[digits] != '\0') return false;
    for (size_t i = 0; i < digits; i++) value = value * 10 + (unsigned)(text[i] - '0');
    return value <= 65535;
}

/* "HOST:PORT", the host perhaps in brackets, which those of IPv6 need; `*port` is where that begins. */
static int split(const char *text, char host[KIN__HOST_SIZE], const char **port)
{
    const char *colon = strrchr(text, ':'), *begin = text;
    if (colon == NULL || !is_port(colon + 1)) return KIN_EADDRESS;
    size_t length = (size_t)(colon - text);
    bool brackets = length >= 2 && text[0] == '[' && colon[-1] == ']';
    if (brackets) {
        begin++;
        length -= 2;
    }
    if (length == 0 || length >= KIN__HOST_SIZE || (!brackets && memchr(begin, ':', length) != NULL))
        return KIN_EADDRESS;
    memcpy(host, begin, length);
    host[length] = '\0';
    *port = colon + 1;
    return 0;
}

static int parse_network(const char *text, bool listens, struct kin__address *addresses,
                         kin_deadline deadline)
{
    char host[KIN__HOST_SIZE];
    const char *port;
    int rc = split(text, host, &port);
    if (rc < 0) return rc;
    bool all = strcmp(host, "*") == 0;
    if (all && !listens) return KIN_EADDRESS;
    return kin__os_address_lookup(all ? NULL : host, port, listens, addresses, KIN__ADDRESSES_MOST, deadline);
}

int kin__address_host(const char *text, char host[KIN__HOST_SIZE])
{
    const char *begin = strstr(text, "://"), *port;
    return begin != NULL ? split(begin + 3, host, &port) : KIN_EADDRESS;
}

int kin__address_parse(const char *text, bool listens, struct kin__address addresses[KIN__ADDRESSES_MOST],
                       bool *tls, kin_deadline deadline)
{
    bool asks = strncmp(text, "tls://", 6) == 0;
    if (asks && tls == NULL) return KIN_EADDRESS;
    if (tls != NULL) *tls = asks;
    if (asks || strncmp(text, "tcp://", 6) == 0) return parse_network(text + 6, listens, addresses, deadline);
    if (strncmp(text, "unix:", 5) != 0 || text[5] == '\0') return KIN_EADDRESS;
    bool abstract = text[5] == '@';
    const char *name = text + (abstract ? 6 : 5);
    if (*name == '\0') return KIN_EADDRESS;
    int rc = kin__os_address_unix(name, strlen(name), abstract, addresses);
    return rc < 0 ? rc : 1;
}
