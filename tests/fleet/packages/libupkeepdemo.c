/* A shared library whose upgrade leaves running processes on the replaced file. */
const char *upkeep_demo_version(void) { return VERSION; }
