#include "cache/address_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool is_public(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return address_is_public((const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return address_is_public((const struct sockaddr *)&v6);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const private[] = {"0.0.0.0",
                                          "10.1.2.3",
                                          "100.64.0.1",
                                          "100.127.255.255",
                                          "127.0.0.1",
                                          "169.254.169.254",
                                          "172.16.0.1",
                                          "172.31.255.255",
                                          "192.0.0.8",
                                          "192.0.2.1",
                                          "192.168.1.1",
                                          "198.18.0.1",
                                          "198.19.255.255",
                                          "198.51.100.1",
                                          "203.0.113.1",
                                          "224.0.0.1",
                                          "255.255.255.255",
                                          "::",
                                          "::1",
                                          "::ffff:127.0.0.1",
                                          "::ffff:10.0.0.1",
                                          "64:ff9b::a00:1",
                                          "fc00::1",
                                          "fd12::1",
                                          "fe80::1",
                                          "ff02::1",
                                          "2001:db8::1",
                                          "2001::1",
                                          "2002:7f00:1::",
                                          "2002:a00:1::",
                                          "3fff::1",
                                          "100::1"};
    static const char *const public[] = {
        "1.1.1.1",         "9.255.255.255",   "11.0.0.0",     "100.63.255.255", "100.128.0.0",
        "172.15.255.255",  "172.32.0.0",      "192.0.1.1",    "198.17.255.255", "198.20.0.0",
        "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808",
        "2001:200::1",     "2002:808:808::"};
    for (size_t i = 0; i < sizeof private / sizeof private[0]; i++)
        if (is_public(private[i]))
            fail_msg("%s counts as public", private[i]);
    for (size_t i = 0; i < sizeof public / sizeof public[0]; i++)
        if (!is_public(public[i]))
            fail_msg("%s counts as private", public[i]);
}

static bool is_link_local(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return address_is_link_local((const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return address_is_link_local((const struct sockaddr *)&v6);
}

static void test_of_this_link(void **state)
{
    (void)state;
    static const char *const here[] = {
        "169.254.0.0", "169.254.169.254", "169.254.255.255", "::ffff:169.254.169.254",
        "fe80::1",     "febf::1",         "fd00:ec2::254"};
    static const char *const there[] = {"169.253.255.255", "169.255.0.0", "10.0.0.1", "127.0.0.1",
                                        "fec0::1",         "fd00:ec3::",  "::1",      "::ffff:10.0.0.1"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++)
        assert_true(is_link_local(here[i]));
    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++)
        assert_false(is_link_local(there[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_addresses), cmocka_unit_test(test_of_this_link)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
