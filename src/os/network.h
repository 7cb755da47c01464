/* network.h: addresses, listening and connecting, a contract for each call.  See os.h and socket.h for what
 * holds for all. */
#ifndef KIN_OS_NETWORK_H
#define KIN_OS_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kin/time.h>

/* A socket address as the kernel has it. */
struct kin__address {
    uint32_t size;
    _Alignas(8) unsigned char bytes[128];
};

/* Looks up a host (name or number; NULL: all of this machine, for a listener) and a port; stores at
 * most `limit` addresses and returns how many.  Waits for name servers: in a coroutine until `deadline`,
 * elsewhere for as long as they take.
 * Errors: KIN_EHOST (no such host, or no answer), -ENOMEM; in a coroutine -ETIMEDOUT, -ECANCELED, -EMFILE,
 * -EAGAIN. */
int kin__os_address_lookup(const char *host, const char *port, bool listens, struct kin__address *addresses,
                           size_t limit, kin_deadline deadline);
/* The address of a Unix socket: a path, or an abstract name.  -ENAMETOOLONG. */
int kin__os_address_unix(const char *name, size_t size, bool abstract, struct kin__address *address);
/* Writes an address as text: "tcp://127.0.0.1:4711", "unix:/path", "unix:@name".  KIN_ETOOSMALL. */
int kin__os_address_text(const struct kin__address *address, char *text, size_t size);
/* The address that a socket is bound to. */
int kin__os_address_of(int socket, struct kin__address *address);
/* The network that an address belongs to, equal for all that one owner of addresses is likely to have: of IPv4
 * the address, of IPv6 its upper half.  0 of Unix sockets, and of the addresses by which a machine's programs
 * talk among themselves (127.0.0.1, ::1). */
uint64_t kin__os_address_network(const struct kin__address *address);
/* The address of the other side. */
int kin__os_address_of_peer(int socket, struct kin__address *address);

/* Makes a socket that listens at the address and does not block; returns it.  A socket file that
 * nobody listens at any more is replaced.  -EADDRINUSE, -EACCES and others. */
int kin__os_listen(const struct kin__address *address, int backlog);
/* The same with a socket that kin__os_socket_to has made: 0. */
int kin__os_listen_with(int socket, const struct kin__address *address, int backlog);
/* Takes a connection that waits; it blocks, and the network's delays are off; where it comes from is stored in
 * `*from`, if that is not NULL.  -EAGAIN: there is none. */
int kin__os_accept(int listener, struct kin__address *from);
/* Makes a socket that can be connected to the address, or listen there; returns it. */
int kin__os_socket_to(const struct kin__address *address);
/* Connects such a socket, waiting until `deadline`; it blocks then; after
 * -ETIMEDOUT it may be called again.  -ECONNREFUSED, -ENOENT, -ETIMEDOUT … */
int kin__os_connect(int socket, const struct kin__address *address, kin_deadline deadline);
/* Acknowledges at once what has come: a peer that waits for that before it sends on is not kept. */
void kin__os_acknowledge(int socket);
/* The connection ends when the other side's system has not answered for so long while nothing is sent to it.
 * At most 32,767.  Of use over a network only, as the next one. */
void kin__os_keep_alive(int socket, unsigned seconds);
/* The same, whether something was sent to it or not; it ends too when the other side takes nothing for so
 * long while there is something for it. */
void kin__os_notice_silence(int socket, unsigned seconds);
/* Has the other side closed its end, or is it gone?  There may still be something to be read. */
bool kin__os_hung_up(int socket);
/* What tells the socket file of an address from another of the same name later; 0: there is none.
 * The other removes the file if it is still that one. */
uint64_t kin__os_socket_file(const struct kin__address *address);
void kin__os_socket_file_remove(const struct kin__address *address, uint64_t identity);

#endif
