/* A03: one thread serves many connections: a coroutine for each, on the server's side as on the
 * clients'. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <kin.h>

#include "check.h"

#define CLIENTS 200
#define ROUNDS  5

static int listener;
static struct sockaddr_in address = {.sin_family = AF_INET};
static long echoed, connected, most;

/* Reads what is there, or waits for it. */
static ssize_t receive(int connection, char *text, size_t size)
{
    for (;;) {
        ssize_t length = recv(connection, text, size, MSG_DONTWAIT);
        if (length >= 0 || errno != EAGAIN) return length;
        check(kin_wait_descriptor(connection, KIN_READABLE, kin_in_s(30)));
    }
}

static int serve(void *argument)
{
    int connection = (int)(intptr_t)argument;
    char text[64];
    if (++connected > most) most = connected;
    for (ssize_t length; (length = receive(connection, text, sizeof text)) > 0;) {
        if (send(connection, text, (size_t)length, MSG_NOSIGNAL) != length) break;
        echoed++;
    }
    connected--;
    close(connection);
    return 0;
}

static int serve_all(void *unused)
{
    (void)unused;
    while (kin_wait_descriptor(listener, KIN_READABLE, KIN_FOREVER) > 0) {
        int connection = accept(listener, NULL, NULL);
        if (connection >= 0) check(kin_coroutine_start(NULL, serve, (void *)(intptr_t)connection, NULL));
    }
    return 0; /* cancelled */
}

static int client(void *argument)
{
    int number = (int)(intptr_t)argument, connection = socket(AF_INET, SOCK_STREAM, 0);
    char said[64], heard[64];
    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) < 0) return -errno;
    for (int i = 0; i < ROUNDS; i++) {
        int length = snprintf(said, sizeof said, "client %d, round %d", number, i);
        if (send(connection, said, (size_t)length, MSG_NOSIGNAL) != length) return -EIO;
        if (receive(connection, heard, sizeof heard) != length || memcmp(said, heard, (size_t)length) != 0)
            return -EIO;
        check(kin_coroutine_sleep(kin_in_ms(10)));
    }
    close(connection);
    return 0;
}

int main(void)
{
    socklen_t size = sizeof address;
    kin_coroutine *server = NULL;
    kin_group *clients = NULL;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, CLIENTS) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0) {
        perror("cannot listen");
        return EXIT_FAILURE;
    }
    check(kin_coroutine_start(&server, serve_all, NULL, NULL));
    check(kin_group_open(&clients));
    for (int i = 0; i < CLIENTS; i++)
        check(kin_coroutine_start(NULL, client, (void *)(intptr_t)i,
                                  &(kin_coroutine_options){.group = clients}));
    check(kin_group_join(clients, KIN_FOREVER));
    check(kin_group_close(clients));
    check(kin_coroutine_cancel(server));
    check(kin_loop_run(KIN_FOREVER));
    check(kin_coroutine_close(server));
    printf("%ld messages echoed, up to %ld connections at once, by one thread\n", echoed, most);
    return EXIT_SUCCESS;
}
