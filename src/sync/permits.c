/* permits.c: cells beyond the first word, and looking at all of them.  See permits.h. */
#include "sync/permits.h"

#include <errno.h>
#include <string.h>

#include "memory/region.h"

static _Atomic uint64_t *word_at(struct kin__permits *permits, uint32_t index)
{
    if (index < KIN__PERMIT_WORDS) return &permits->word[index];
    index -= KIN__PERMIT_WORDS;
    struct kin__permit_chunk *chunk = atomic_load(&permits->chunk[index / KIN__PERMIT_CHUNK]);
    return &chunk->word[index % KIN__PERMIT_CHUNK];
}

static void raise_used(struct kin__permits *permits, uint32_t used)
{
    uint32_t seen = atomic_load(&permits->used);
    while (seen < used && !atomic_compare_exchange_weak(&permits->used, &seen, used))
        ;
}

/* ---- opening, growing, closing --------------------------------------------------------------- */

/* Makes sure that there is memory behind the word: 0, -ENOMEM. */
static int back(struct kin__permits *permits, uint32_t index)
{
    int rc = 0;
    if (index < KIN__PERMIT_WORDS) return 0;
    _Atomic(void *) *chunk = &permits->chunk[(index - KIN__PERMIT_WORDS) / KIN__PERMIT_CHUNK];
    if (atomic_load(chunk) != NULL) return 0;
    struct kin__permit_chunk *made = kin__allocate_object(KIN__OBJECT_PERMITS, sizeof *made, &rc);
    if (made == NULL) return rc;
    for (uint32_t i = 0; i < KIN__PERMIT_CHUNK; i++) atomic_store(&made->word[i], 0);
    kin__allocate_offer(chunk);
    return 0;
}

void kin__permits_clear(struct kin__permits *permits)
{
    for (uint32_t i = 0; i < KIN__PERMIT_WORDS; i++) atomic_store(&permits->word[i], 0);
    for (uint32_t i = 0; i < KIN__PERMIT_CHUNKS; i++) atomic_store(&permits->chunk[i], NULL);
    atomic_store(&permits->used, 0);
}

int kin__permits_open(struct kin__permits *permits, uint32_t count)
{
    uint32_t words = (count + KIN__CELLS - 1) / KIN__CELLS;
    for (uint32_t i = 0; i < words; i++) {
        int rc = back(permits, i);
        if (rc < 0) return rc;
        uint32_t cells = count < KIN__CELLS ? count : KIN__CELLS;
        uint64_t all = cells == KIN__CELLS ? KIN__CELLS_ALL : ((uint64_t)1 << cells * KIN__CELL_BITS) - 1;
        atomic_store(word_at(permits, i), KIN__CELLS_ONES * KIN__CELL_FREE & all);
        count -= cells;
    }
    atomic_store(&permits->used, words);
    return 0;
}

void kin__permits_close(struct kin__permits *permits)
{
    /* CRASH: each chunk is named until it is free; whoever repeats this goes on where we died. */
    for (uint32_t i = 0; i < KIN__PERMIT_CHUNKS; i++) {
        void *chunk = atomic_load(&permits->chunk[i]);
        if (chunk != NULL) kin__free(chunk, &permits->chunk[i]);
    }
}

int kin__permits_add(struct kin__permits *permits)
{
    /* A cell that has been a permit stays one: only the last word has others. */
    uint32_t used = atomic_load(&permits->used);
    for (uint32_t i = used > 0 ? used - 1 : 0; i < KIN__PERMITS_MOST / KIN__CELLS; i++) {
        int rc = back(permits, i);
        if (rc < 0) return rc;
        /* CRASH: used, and empty: that costs looks. */
        raise_used(permits, i + 1);
        if (kin__cells_change(word_at(permits, i), KIN__CELL_NONE, KIN__CELL_FREE)) return 0;
    }
    return -EOVERFLOW;
}

/* ---- looking at all words ----------------------------------------------------------------------- */

/* Of a look at all words: two with the same have seen the same versions of the same words. */
static uint64_t digest(uint64_t before, uint64_t word)
{
    return (before ^ word) * 0x9e3779b97f4a7c15ull + 1;
}

/* Where a look begins: elsewhere for each process, so that they do not meet at the same word. */
static uint32_t beginning(uint32_t holder, uint32_t used)
{
    return used == 0 ? 0 : holder * 7 % used;
}

bool kin__permits_take_any(struct kin__permits *permits, uint32_t holder)
{
    uint64_t last = 0;
    for (bool again = false;; again = true) {
        uint32_t used = atomic_load(&permits->used), start = beginning(holder, used);
        uint64_t seen = used;
        for (uint32_t n = 0; n < used; n++) {
            _Atomic uint64_t *word = word_at(permits, (start + n) % used);
            if (kin__cells_change(word, KIN__CELL_FREE, holder)) return true;
            seen = digest(seen, atomic_load(word));
        }
        /* A permit that came back behind us leaves another version: then we look once more. */
        if (used <= 1 || (again && seen == last)) return false;
        last = seen;
    }
}

static bool free_own(struct kin__permits *permits, uint32_t holder)
{
    uint32_t used = atomic_load(&permits->used), start = beginning(holder, used);
    for (uint32_t n = 0; n < used; n++)
        if (kin__cells_change(word_at(permits, (start + n) % used), holder, KIN__CELL_FREE)) return true;
    return false;
}

/* The name of somebody who holds a permit of the word, or 0. */
static uint32_t some_holder(uint64_t word)
{
    for (int cell = 0; cell < KIN__CELLS; cell++, word >>= KIN__CELL_BITS)
        if ((word & KIN__CELL_MASK) >= KIN__CELL_HOLDER) return (uint32_t)(word & KIN__CELL_MASK);
    return 0;
}

bool kin__permits_free_any(struct kin__permits *permits, uint32_t holder)
{
    uint64_t last = 0;
    if (free_own(permits, holder)) return true;
    for (bool again = false;; again = true) {
        uint32_t used = atomic_load(&permits->used);
        uint64_t seen = used;
        for (uint32_t i = 0; i < used; i++) {
            _Atomic uint64_t *word = word_at(permits, i);
            uint64_t now;
            for (uint32_t other; (other = some_holder(now = atomic_load(word))) != 0;)
                if (kin__cells_change(word, other, KIN__CELL_FREE)) return true;
            seen = digest(seen, now);
        }
        if (used <= 1 || (again && seen == last)) return false;
        last = seen;
    }
}

uint32_t kin__permits_reclaim(struct kin__permits *permits, uint32_t holder)
{
    uint32_t count = 0, used = atomic_load(&permits->used);
    for (uint32_t i = 0; i < used; i++) {
        /* A semaphore that is being closed loses its chunks, which nobody holds permits in. */
        if (i >= KIN__PERMIT_WORDS &&
            atomic_load(&permits->chunk[(i - KIN__PERMIT_WORDS) / KIN__PERMIT_CHUNK]) == NULL)
            break;
        while (kin__cells_change(word_at(permits, i), holder, KIN__CELL_FREE)) count++;
    }
    return count;
}

void kin__permits_count(struct kin__permits *permits, uint32_t *free, uint32_t *held)
{
    uint64_t last = 0;
    for (bool again = false;; again = true) {
        uint32_t used = atomic_load(&permits->used);
        uint64_t seen = used;
        *free = *held = 0;
        for (uint32_t i = 0; i < used; i++) {
            uint64_t word = atomic_load(word_at(permits, i));
            seen = digest(seen, word);
            for (int cell = 0; cell < KIN__CELLS; cell++, word >>= KIN__CELL_BITS) {
                *free += (word & KIN__CELL_MASK) == KIN__CELL_FREE;
                *held += (word & KIN__CELL_MASK) >= KIN__CELL_HOLDER;
            }
        }
        if (used <= 1 || (again && seen == last)) return;
        last = seen;
    }
}

bool kin__permits_any_free(struct kin__permits *permits)
{
    uint32_t used = atomic_load(&permits->used);
    for (uint32_t i = 0; i < used; i++)
        if (kin__cells_find(atomic_load(word_at(permits, i)), KIN__CELL_FREE) >= 0) return true;
    return false;
}

KIN__LAYOUT_PART(permits, struct kin__permit_chunk);
