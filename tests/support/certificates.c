/* certificates.c: see certificates.h. */
#include "support/certificates.h"

#include "support/test.h"

#include <stdlib.h>
#include <unistd.h>

/* $1: the name of the files, $2: whom the certificate names, $3 …: how it is signed. */
static const char script[] =
    "set -e\n"
    "make() {\n"
    "    file=$1 names=$2; shift 2\n"
    "    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \\\n"
    "        -days 36500 -subj \"/CN=$file\" -keyout $file.key -out $file.pem \\\n"
    "        $names \"$@\" 2>>said\n"
    "}\n"
    "here='-addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1'\n"
    "signed='-CA authority.pem -CAkey authority.key -addext basicConstraints=CA:FALSE'\n"
    "make authority ''\n"
    "make server \"$here\" $signed\n"
    "make client '' $signed\n"
    "make alone \"$here\"\n"
    "openssl ec -in server.key -aes128 -passout pass:secret -out locked.key 2>>said\n"
    "rm -f said\n";

void certificates_make(void)
{
    if (system("command -v openssl >/dev/null") != 0) SKIP("there is no program openssl");
    if (system(script) != 0) FAIL("openssl has made no certificates");
}

void certificates_remove(void)
{
    CHECK_EQ(system("rm -f authority.* server.* client.* alone.* locked.key"), 0);
}
