/* peer.c: see peer.h. */
#include "manager/peer.h"

#include <errno.h>
#include <string.h>

#include "os/os.h"

/* Of this process, or copied by a fork: then managers see to it (manager.h). */
static struct kin__turn turn;
static struct kin__peer *peers;

static struct kin__peer *find(const char *address, const void *key, size_t key_size)
{
    for (struct kin__peer *peer = peers; peer != NULL; peer = peer->next) {
        const kin_manager *manager = peer->manager;
        if (strcmp(manager->address, address) == 0 && manager->key_size == key_size &&
            (key_size == 0 || memcmp(manager->key, key, key_size) == 0))
            return peer;
    }
    return NULL;
}

int kin__peer_use(struct kin__peer **used, const char *address, const void *key, size_t key_size)
{
    kin__turn_wait(&turn);
    struct kin__peer *peer = find(address, key, key_size);
    int rc = 0;
    if (peer == NULL) {
        peer = kin__os_calloc(1, sizeof *peer);
        const kin_client_options client = {.key = key, .key_size = key_size};
        rc = peer == NULL ? -ENOMEM : kin__manager_make(&peer->manager, address, &client);
        if (rc == 0) {
            peer->next = peers;
            peers = peer;
        } else {
            kin__os_free(peer);
        }
    }
    if (rc == 0) peer->users++;
    kin__turn_end(&turn);
    if (rc == 0) *used = peer;
    return rc;
}

void kin__peer_leave(struct kin__peer *peer)
{
    kin__turn_wait(&turn);
    bool last = --peer->users == 0;
    if (last) {
        struct kin__peer **at = &peers;
        while (*at != peer) at = &(*at)->next;
        *at = peer->next;
    }
    kin__turn_end(&turn);
    if (!last) return;
    kin__manager_close(peer->manager);
    kin__os_free(peer);
}
