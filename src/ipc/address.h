/* address.h: addresses as the user writes them. */
#ifndef KIN_IPC_ADDRESS_H
#define KIN_IPC_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "os/network.h"

#define KIN__ADDRESSES_MOST 8

/* kin__address_parse stores the socket addresses that `text` means, to be tried in turn, and returns
 * how many.  Errors: KIN_EADDRESS, KIN_EHOST, -ENAMETOOLONG, -ENOMEM. */
int kin__address_parse(const char *text, bool listens, struct kin__address addresses[KIN__ADDRESSES_MOST]);

#endif
