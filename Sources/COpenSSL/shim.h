#pragma once
// No feature macro is set here: Swift's own Glibc module has the same headers without it, and a type
// that differs between two modules does not compile.
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
