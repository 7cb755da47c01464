/* address.h: addresses as the user writes them. */
#ifndef KIN_IPC_ADDRESS_H
#define KIN_IPC_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "os/network.h"

#define KIN__ADDRESSES_MOST 8

/* kin__address_parse stores the socket addresses that `text` means, to be tried in turn, and returns
 * how many; `*tls` says whether it asks for TLS, which is no address for a caller that gives NULL.
 * Errors: KIN_EADDRESS, -ENAMETOOLONG, those of kin__os_address_lookup, which may have to wait. */
int kin__address_parse(const char *text, bool listens, struct kin__address addresses[KIN__ADDRESSES_MOST],
                       bool *tls, kin_deadline deadline);

/* The host of an address that names one, as text of at most KIN__HOST_SIZE bytes.  KIN_EADDRESS. */
#define KIN__HOST_SIZE 256
int kin__address_host(const char *text, char host[KIN__HOST_SIZE]);

#endif
