#ifndef SHA256_H
#define SHA256_H
#endif
