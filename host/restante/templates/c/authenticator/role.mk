ROLES = authenticator settings
KIT = --user alice --password-file password \
	--settings 'users=alice:{ARGON2ID}$$argon2id$$v=19$$m=19456,t=2,p=1$$iVDkxujmyU51oVp0XEbzsw$$3jup9ikmYBaNK0dbjns57R/TeR3XFPYs6a4wfBr1HYw'
