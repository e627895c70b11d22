// Empty: nobody calls what stands beside it by its name in C.
#pragma once
