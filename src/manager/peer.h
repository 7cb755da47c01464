/* peer.h: the managers that this process uses queues and locks of by their addresses: one handle of each, whatever
 * objects of it are in use.
 */
#ifndef KIN_MANAGER_PEER_H
#define KIN_MANAGER_PEER_H

#include "manager/manager.h"

struct kin__peer {
    kin_manager *manager;
    unsigned users; /* under a turn, as `next` */
    struct kin__peer *next;
};

/* A manager's handle, in use once more.  It connects with its first call.  Errors: of kin__manager_make. */
int kin__peer_use(struct kin__peer **used, const char *address, const void *key, size_t key_size);
/* The last one closes it. */
void kin__peer_leave(struct kin__peer *peer);

#endif
