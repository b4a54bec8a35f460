ROLES = admission settings
KIT = --settings deny=198.51.100.0/24
