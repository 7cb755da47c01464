/* breaker.c: see breaker.h. */
#include "ipc/breaker.h"

#include <kin/error.h>

#include "os/os.h"
#include "os/socket.h"

bool kin__breaker_is_broken(const struct kin__breaker *breaker)
{
    if (breaker == NULL) return false;
    return atomic_load(&breaker->broken) || (breaker->whole != NULL && atomic_load(breaker->whole)) ||
           (breaker->part != NULL && atomic_load(breaker->part));
}

int kin__breaker_hold(struct kin__breaker *breaker, int descriptor)
{
    if (breaker == NULL) return 0;
    kin__turn_wait(&breaker->door);
    bool broken = kin__breaker_is_broken(breaker);
    if (!broken) {
        breaker->descriptor = descriptor;
        breaker->pid = kin__os_pid();
    }
    kin__turn_end(&breaker->door);
    return broken ? KIN_ECLOSED : 0;
}

void kin__breaker_let_go(struct kin__breaker *breaker)
{
    if (breaker == NULL) return;
    kin__turn_wait(&breaker->door);
    breaker->pid = 0;
    kin__turn_end(&breaker->door);
}

void kin__breaker_use(struct kin__breaker *breaker, const _Atomic bool *part)
{
    kin__turn_wait(&breaker->door);
    breaker->part = part;
    kin__turn_end(&breaker->door);
}

void kin__breaker_mend(struct kin__breaker *breaker)
{
    kin__turn_wait(&breaker->door);
    atomic_store(&breaker->broken, false);
    kin__turn_end(&breaker->door);
}

void kin__breaker_break(struct kin__breaker *breaker, const _Atomic bool *part)
{
    kin__turn_wait(&breaker->door);
    if (part == NULL || breaker->part == part) {
        atomic_store(&breaker->broken, true);
        if (breaker->pid == kin__os_pid()) kin__os_socket_end(breaker->descriptor);
    }
    kin__turn_end(&breaker->door);
}
