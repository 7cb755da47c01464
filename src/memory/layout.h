/* layout.h: the structs in family memory that this layer does not know.
 *
 * A program joins a family only if all of them are as large for it as for the others (kin__region_layout_check).
 * Each is said in a file that knows it.  By a symbol, not at load time: a program may join before
 * anything else is run, and what is linked statically has to have all of them, even if it does not use them. */
#ifndef KIN_MEMORY_LAYOUT_H
#define KIN_MEMORY_LAYOUT_H

#include <stdint.h>

#define KIN__LAYOUT_PARTS(each) \
    each(array) each(barrier) each(condition) each(event) each(ledger) each(map) each(message) each(mutex) \
        each(names) each(needs) each(parties) each(permits) each(pool) each(queue) each(readers) \
            each(records) each(remote) each(rwlock) each(semaphore) each(shelf_lists) each(shelf_segment) \
                each(worker)

#define KIN__LAYOUT_DECLARE(name) extern const uint32_t kin__layout_of_##name;
KIN__LAYOUT_PARTS(KIN__LAYOUT_DECLARE)

#define KIN__LAYOUT_PART(name, type) const uint32_t kin__layout_of_##name = (uint32_t)sizeof(type)

#endif
