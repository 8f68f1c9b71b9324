/* A service on 127.0.0.1:7710 that answers HTTP with the version of the library it runs on, or with 500 while
 * /etc/upkeep-demo/fail exists. Small on purpose: one connection at a time. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *upkeep_demo_version(void);

int main(void)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(7710)};
    int one = 1, door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(door, (struct sockaddr *)&where, sizeof where) || listen(door, 16)) {
        perror("127.0.0.1:7710");
        return 1;
    }
    for (;;) {
        char asked[1024], answer[256];
        int visitor = accept(door, 0, 0);
        if (visitor < 0)
            continue;
        if (read(visitor, asked, sizeof asked) > 0) {
            const char *status = access("/etc/upkeep-demo/fail", F_OK) ? "200 OK" : "500 Internal Server Error";
            int size = snprintf(answer, sizeof answer, "HTTP/1.0 %s\r\nContent-Type: text/plain\r\n\r\nupkeep-demo %s\n",
                                status, upkeep_demo_version());
            if (write(visitor, answer, (size_t)size) < 0)
                perror("write");
        }
        close(visitor);
    }
}
