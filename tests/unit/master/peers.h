/* Client addresses for the tests of this folder. */
#ifndef TESTS_UNIT_MASTER_PEERS_H
#define TESTS_UNIT_MASTER_PEERS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static inline struct sockaddr_storage peer_of(const char *text)
{
    struct sockaddr_storage peer;
    memset(&peer, 0, sizeof peer);
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&peer;
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
        peer.ss_family = AF_INET6;
    else if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
        peer.ss_family = AF_INET;
    return peer;
}

static inline struct sockaddr_storage peer_number(unsigned number)
{
    struct sockaddr_storage peer = peer_of("10.0.0.0");
    ((struct sockaddr_in *)&peer)->sin_addr.s_addr = htonl(0x0a000000u + number);
    return peer;
}

#endif
