# How everything is compiled: the language, the optimisation, the warnings, the sanitizer.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Assertions stay: what is tested is what is shipped.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g")
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

add_compile_options(-Wall -Wextra -Wshadow
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>)
if(KIN_WERROR)
    add_compile_options(-Werror)
endif()

# Every symbol is bound before main: a process killed inside the dynamic linker would be a case
# that no test of kin means.
add_link_options(LINKER:-z,now)

if(KIN_SANITIZE STREQUAL "address")
    set(KIN_SANITIZE_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(KIN_SANITIZE STREQUAL "thread")
    set(KIN_SANITIZE_FLAGS -fsanitize=thread)
elseif(KIN_SANITIZE)
    message(FATAL_ERROR "KIN_SANITIZE is \"${KIN_SANITIZE}\"; it can be address, thread or empty")
endif()
if(KIN_SANITIZE)
    add_compile_options(${KIN_SANITIZE_FLAGS} -fno-omit-frame-pointer)
    add_link_options(${KIN_SANITIZE_FLAGS})
endif()
