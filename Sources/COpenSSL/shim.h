#pragma once
// No feature macro is set here: Swift's own Glibc module has the same headers without it, and a type
// that differs between two modules does not compile.
// The plain functions of SHA-256 are what a login can afford (Digests/SHA256.swift); OpenSSL 3 would
// rather have everybody use EVP.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
