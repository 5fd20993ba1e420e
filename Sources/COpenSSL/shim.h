#pragma once
// No feature macro is set here: Swift's own Glibc module has the same headers without it, and a type
// that differs between two modules does not compile.
// The plain functions of SHA-256 are what a login can afford (Digests/SHA256.swift); OpenSSL 3 would
// rather have everybody use EVP.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// What OpenSSL has as macros only, which Swift does not see.

static inline void martlet_ssl_context_set_mode(SSL_CTX *context, long mode) {
    SSL_CTX_set_mode(context, mode);
}

static inline void martlet_ssl_context_allow_all_versions(SSL_CTX *context) {
    SSL_CTX_set_min_proto_version(context, 0);
    SSL_CTX_set_max_proto_version(context, 0);
}

static inline int martlet_ssl_context_set_groups(SSL_CTX *context, const char *groups) {
    return (int)SSL_CTX_set1_groups_list(context, groups);
}

static inline void martlet_ssl_context_set_dh_auto(SSL_CTX *context, long choice) {
    SSL_CTX_set_dh_auto(context, choice);
}

static inline void martlet_ssl_context_disable_cache(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static inline int martlet_ssl_context_add_chain(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

static inline void martlet_ssl_context_on_name(
    SSL_CTX *context, int (*chosen)(SSL *, int *, void *), void *argument) {
    SSL_CTX_set_tlsext_servername_callback(context, chosen);
    SSL_CTX_set_tlsext_servername_arg(context, argument);
}

static inline int martlet_ssl_set_name(SSL *ssl, const char *name) {
    return (int)SSL_set_tlsext_host_name(ssl, name);
}

// A key with a password is of no use: nobody may be there to be asked.
static int martlet_no_password(char *buffer, int size, int writes, void *context) {
    return -1;
}

static inline int martlet_ssl_group(SSL *ssl) { return (int)SSL_get_negotiated_group(ssl); }

static inline void martlet_bio_retry_read(BIO *bio) { BIO_set_retry_read(bio); }

static inline void martlet_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }

// Names of certificates by RFC 2253, in UTF-8.
static const unsigned long martlet_name_style = XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB;

static const uint64_t martlet_ssl_no_renegotiation = SSL_OP_NO_RENEGOTIATION;
static const uint64_t martlet_ssl_server_preference = SSL_OP_CIPHER_SERVER_PREFERENCE;
static const uint64_t martlet_ssl_no_tls1_0 = SSL_OP_NO_TLSv1;
static const uint64_t martlet_ssl_no_tls1_1 = SSL_OP_NO_TLSv1_1;
static const uint64_t martlet_ssl_no_tls1_2 = SSL_OP_NO_TLSv1_2;
static const uint64_t martlet_ssl_no_tls1_3 = SSL_OP_NO_TLSv1_3;
